"""Check which model has responded.

Shows: `reply.evidence`, with the model that was requested, the one that the response names, and
the form of its id; `on_model_mismatch=`.
"""

from __future__ import annotations

from acechat import Client, ModelMismatchError


def main() -> None:
    with Client(model="claude-sonnet-4-20250514", on_model_mismatch="raise") as client:
        try:
            reply = client.chat("Which model are you?")
        except ModelMismatchError as error:
            print("another model:", error.named)
            return
        print(reply.text)
        evidence = reply.evidence
        print("requested:", evidence.requested, "| named:", evidence.named, "|", evidence.id_form)


if __name__ == "__main__":
    main()
