"""What members' final answers come to: read, compared, counted, weighed, and how sure that makes."""
