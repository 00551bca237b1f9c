"""Programs that run inside an engine's own environment; nothing else imports an engine."""
