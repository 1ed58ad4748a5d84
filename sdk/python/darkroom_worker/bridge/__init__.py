"""Jobs for model servers that expect to be called: `darkroom-worker bridge` claims them and calls."""
