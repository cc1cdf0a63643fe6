"""Makes the pictures in golden/ and, beside each, what Pillow reads in it: NAME.EXT and NAME.EXT.png.

python3 golden.py, with Pillow 11.3 or later. The pictures are drawn here.
"""
import pathlib
from PIL import Image, ImageDraw, ImageOps

W, H = 61, 43
out = pathlib.Path(__file__).parent / "golden"


def scene():
    im = Image.new("RGB", (W, H))
    for y in range(H):
        for x in range(W):
            im.putpixel((x, y), (x * 4, y * 5, (x * 3 + y * 2) % 256))
    d = ImageDraw.Draw(im)
    d.ellipse((5, 4, 25, 20), fill=(240, 30, 20))
    d.rectangle((38, 25, 56, 39), fill=(20, 200, 60))
    d.line((2, 40, 58, 3), fill=(255, 255, 255), width=2)
    return im


def opacity():
    m = Image.linear_gradient("L").resize((W, H))
    ImageDraw.Draw(m).rectangle((0, 0, 9, 9), fill=0)
    return m


def save(name, im, **options):
    path = out / name
    im.save(path, **options)
    got = Image.open(path)
    got.load()
    got = ImageOps.exif_transpose(got)
    if got.mode in ("RGBA", "LA", "PA") or "transparency" in got.info:
        got = got.convert("RGBA")
        white = Image.new("RGBA", got.size, "white")
        white.alpha_composite(got)
        got = white
    got.convert("RGB").save(str(path) + ".png", optimize=True)


rgb = scene()
rgba = rgb.copy()
rgba.putalpha(opacity())
cmyk = rgb.convert("CMYK")
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"orientation{orientation}.jpg", rgb, quality=90, exif=exif)
exif6 = Image.Exif()
exif6[0x0112] = 6
save("plain.jpg", rgb, quality=90)
save("full-colour.jpg", rgb, quality=90, subsampling=0)
save("progressive.jpg", rgb, quality=90, progressive=True)
save("restarts.jpg", rgb, quality=90, restart_marker_blocks=2)
save("grey.jpg", rgb.convert("L"), quality=90)
save("cmyk.jpg", cmyk, quality=90)
save("cmyk-progressive.jpg", cmyk, quality=90, progressive=True)
save("lossy.webp", rgb, quality=80)
save("lossy-exif.webp", rgb, quality=80, exif=exif6)
save("lossy-even.webp", rgb.crop((0, 0, 60, 42)), quality=80)
save("lossy-thin.webp", rgb.crop((20, 0, 21, 43)), quality=80)
save("alpha.webp", rgba, quality=80)
save("lossless.webp", rgba, lossless=True)
save("animated.webp", rgb, save_all=True, append_images=[ImageOps.mirror(rgb)], quality=80)
save("rgb.png", rgb)
save("rgba.png", rgba)
save("exif.png", rgb, exif=exif6)
save("palette.png", rgb.quantize(16))
save("palette-alpha.png", rgb.quantize(16), transparency=3)
save("rgb.gif", rgb.quantize(32))
save("transparent.gif", rgb.quantize(32), transparency=3)
save("animated.gif", rgb.quantize(32), save_all=True, append_images=[ImageOps.mirror(rgb).quantize(32)])
save("rgb.bmp", rgb)
save("palette.bmp", rgb.quantize(256))
save("bits.bmp", rgb.convert("1"))
save("rgba.bmp", rgba)
save("rgb.tif", rgb)
save("lzw.tif", rgb, compression="tiff_lzw")
save("deflate.tif", rgb, compression="tiff_adobe_deflate", tiffinfo={0x0112: 8})
save("grey.tif", rgb.convert("L"), compression="packbits")
save("fax.tif", rgb.convert("1"), compression="group4")
save("fax-white0.tif", rgb.convert("1"), compression="group3", tiffinfo={262: 0})
save("palette.tif", rgb.quantize(64))
save("rgba.tif", rgba)
save("cmyk.tif", cmyk)
save("cmyk-lzw.tif", cmyk, compression="tiff_lzw")
save("plain.avif", rgb, quality=90)
save("alpha.avif", rgba, quality=90, subsampling="4:4:4")
for orientation in (2, 3, 4, 5, 6, 7, 8):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"orientation{orientation}.avif", rgb, quality=90, subsampling="4:4:4", exif=exif)
