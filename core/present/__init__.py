"""What people read: runs, lists and replies as cards and Markdown, the same on every platform.

Adapters lay these pieces out in their platform's idiom and make them safe for it; they do not word anything.
"""
