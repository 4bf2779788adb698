"""What acechat costs: `python -m benchmarks` asks the questions, `benchmarks.NAME` one of them."""
