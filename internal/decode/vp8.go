package decode

import "image"

// vp8Rows gives the rows of a VP8 frame, with colour planes of half its size, as libwebp does
// (src/dsp/upsampling.c and src/dsp/yuv.h): each pixel takes 9/16 of the nearest colour sample, 3/16 of the next ones
// across and down, and 1/16 of the one at the corner.
func vp8Rows(m *image.YCbCr, alpha []byte, alphaStride int) func(dst []byte, y int) {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	half := (width + 1) / 2
	cb, cr := make([]byte, width), make([]byte, width)
	return func(dst []byte, y int) {
		near, far := y/2, y/2-1
		if y%2 == 1 {
			far = y/2 + 1
		}
		far = min(max(far, 0), (height+1)/2-1)
		widen(cb, m.Cb[near*m.CStride:][:half], m.Cb[far*m.CStride:][:half])
		widen(cr, m.Cr[near*m.CStride:][:half], m.Cr[far*m.CStride:][:half])
		for x, luma := range m.Y[y*m.YStride:][:width] {
			to := dst[3*x : 3*x+3]
			vp8Colour(to, int(luma), int(cb[x]), int(cr[x]))
			if alpha != nil {
				a := alpha[y*alphaStride+x]
				to[0], to[1], to[2] = over(to[0], a), over(to[1], a), over(to[2], a)
			}
		}
	}
}

// widen fills dst from two rows of colour samples, of which near is the nearer one.
func widen(dst, near, far []byte) {
	dst[0] = byte((3*int(near[0]) + int(far[0]) + 2) / 4)
	for x := 1; x < len(dst); x++ {
		i := x / 2 // the nearer sample across, and j the farther one
		j := i - 1
		if x%2 == 1 {
			j = i + 1
		}
		if j == len(near) {
			dst[x] = byte((3*int(near[i]) + int(far[i]) + 2) / 4)
			continue
		}
		a, b, c, d := int(near[i]), int(near[j]), int(far[i]), int(far[j])
		dst[x] = byte(((a+b+c+d+8+2*(b+c))/8 + a) / 2)
	}
}

// vp8Colour converts a pixel from BT.601 in its narrow range, in fixed point with 14 bits as libwebp does.
func vp8Colour(to []byte, y, u, v int) {
	luma := y * 19077 >> 8
	to[0] = clip6(luma + v*26149>>8 - 14234)
	to[1] = clip6(luma - u*6419>>8 - v*13320>>8 + 8708)
	to[2] = clip6(luma + u*33050>>8 - 17685)
}

// clip6 drops six fractional bits.
func clip6(v int) byte { return byte(min(max(v>>6, 0), 255)) }
