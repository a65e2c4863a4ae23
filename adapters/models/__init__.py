"""Language models: any OpenAI-compatible server, and simulated ones."""
