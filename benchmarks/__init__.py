"""The costs of acechat: `python -m benchmarks` measures all, `benchmarks.NAME` one benchmark."""
