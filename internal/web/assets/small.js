// A worker of the browser: makes small copies of large photos, so that the page never holds their millions of pixels.
onmessage = async ({ data: { number, file } }) => {
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: 360, resizeQuality: "medium" });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    postMessage({ number, copy: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }) });
  } catch {
    postMessage({ number }); // it is no picture, or of a kind that this browser cannot read
  }
};
