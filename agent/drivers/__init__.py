"""The drivers, which answer the loop: OpenAI, a compatible server, or the autopilot. One file each."""
