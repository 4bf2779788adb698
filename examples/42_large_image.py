"""Ask about an image of Pillow that is larger than the service needs.

Shows: `pip install 'acechat[images]'` scales images down; `image` takes an image of Pillow, a file,
bytes or a URL.
"""

from __future__ import annotations

from PIL import Image

from acechat import Client, image


def main() -> None:
    photo = Image.linear_gradient("L").resize((4000, 3000))
    with Client() as client:
        part = image(photo, max_pixels=1_500_000)
        print(f"{len(part.image_url.url):,} characters")
        print(client.chat("What is in this image?", part).text)


main()
