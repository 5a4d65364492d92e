"""One file per family of prompts."""
