"""A real Triton from Python, asked over gRPC: python examples/serve_and_ask.py examples/shop.yaml

Runs what is missing of the pipeline first.
"""

import sys

import cascade


def main(path: str) -> None:
    """Serve the pipeline of a YAML file, and print what three users get."""
    config = cascade.load_config(path, overrides={"server": {"http_port": 0, "grpc_port": 0, "metrics_port": 0}})
    cascade.run(config, only="export", progress=True)
    with cascade.Server(config) as server, server.client() as client:
        print(f"Triton answers on {server.grpc_url} (gRPC) and {server.http_url} (HTTP)")
        for answer in client.recommend([0, 1, 2], top_k=5):
            print(answer.user_id, [item.item_id for item in answer.items], answer.reasons or "")


if __name__ == "__main__":
    main(*sys.argv[1:2])
