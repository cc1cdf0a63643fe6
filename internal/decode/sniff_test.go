package decode

import (
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
)

func TestSniffAndCheck(t *testing.T) {
	for _, test := range []struct {
		what, head string
		mediaType  string
		message    string // "" where the format is read
	}{
		{"a JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", ""},
		{"a PNG", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "image/png", ""},
		{"a GIF", "GIF89a\x01\x00\x01\x00", "image/gif", ""},
		{"a WebP", "RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp", ""},
		{"a BMP", "BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00", "image/bmp", ""},
		{"a little-endian TIFF", "II*\x00\x08\x00\x00\x00", "image/tiff", ""},
		{"a big-endian TIFF", "MM\x00*\x00\x00\x00\x08", "image/tiff", ""},
		{"an AVIF", "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "image/avif", ""},
		{"an AVIF of brand mif1", "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00miafavif", "image/avif", ""},
		{"a HEIC", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic", "is a HEIC picture, a format that is not read here; convert it to JPEG, PNG or WebP"},
		{"a HEIC of brand mif1", "\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "image/heic", "is a HEIC picture"},
		{"a JPEG XL", "\xff\x0a\xba", "image/jxl", "is a JPEG XL picture"},
		{"a JPEG 2000", "\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2", "is a JPEG 2000 picture"},
		{"an SVG", "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "image/svg+xml", "is an SVG drawing"},
		{"a Photoshop document", "8BPS\x00\x01", "image/vnd.adobe.photoshop", "is a Photoshop document"},
		{"an icon", "\x00\x00\x01\x00\x01\x00", "image/x-icon", "is a Windows icon"},
		{"a Canon raw file", "II*\x00\x10\x00\x00\x00CR\x02\x00", "image/x-raw", "is a camera's raw file"},
		{"nothing", "", "", "is empty: it has no bytes at all"},
		{"text", "Dear all,\nthe photos are on their way.\n", "", "is not an image: it begins like plain text"},
		{"text cut within a letter", "Gr\xc3\xbc\xc3", "", "is not an image: it begins like plain text"},
		{"text that begins like a BMP", "BMW builds cars in Munich.", "", "is not an image: it begins like plain text"},
		{"UTF-16 text", "\xff\xfeh\x00i\x00", "", "is not an image: it begins like plain text"},
		{"HTML", "\n <!DOCTYPE html><html>", "", "is not an image: it begins like an HTML page"},
		{"XML", "<?xml version=\"1.0\"?><feed/>", "", "is not an image: it begins like an XML document"},
		{"a PDF", "%PDF-1.7\n", "", "is not an image: it begins like a PDF document"},
		{"a ZIP", "PK\x03\x04\x14\x00", "", "is not an image: it begins like a ZIP archive or an Office document"},
		{"an MP4", "\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "", "is not an image: it begins like a video"},
		{"an AVI", "RIFF\x00\x00\x00\x00AVI LIST", "", "is not an image: it begins like a video"},
		{"a WAV", "RIFF\x00\x00\x00\x00WAVEfmt ", "", "is not an image: it begins like a sound file"},
		{"an ELF", "\x7fELF\x02\x01", "", "is not an image: it begins like an executable"},
		{"a tar", strings.Repeat("a", 100) + strings.Repeat("\x00", 157) + "ustar", "", "is not an image: it begins like a tar archive"},
		{"a script", "#!/bin/sh\n", "", "is not an image: it begins like a script"},
		{"zeros", "\x00\x00\x00\x00", "", "is not an image: it begins like a block of zeros"},
		{"noise", "\x93\x01\xfe\x00\x42", "", "is not an image: it begins like no format that is known here"},
	} {
		t.Run(test.what, func(t *testing.T) {
			if got := Sniff([]byte(test.head)); got != test.mediaType {
				t.Errorf("Sniff says %q, want %q", got, test.mediaType)
			}
			err := Check([]byte(test.head))
			if test.message == "" {
				if err != nil {
					t.Errorf("Check says %q, want that it is read", err)
				}
				return
			}
			want := ocelli.UnsupportedType
			if test.head == "" {
				want = ocelli.EmptyFile
			}
			if e := ocelli.AsError(err); e == nil || e.Code != want || !strings.HasPrefix(e.Message, test.message) {
				t.Errorf("Check says %#v, want %s: %q", err, want, test.message)
			}
		})
	}
}
