package decode

func openAVIF(data []byte) (stored, error) {
	return stored{}, unsupported("is an AVIF picture, a format that is not read here; convert it to JPEG, PNG or WebP")
}
