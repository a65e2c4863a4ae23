"""What answers are like: their vectors, groups, feelings and charts, worked out in processes of their own."""
