package decode

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/ocelli/ocelli"
)

// sniffed is how many of the first bytes of a file are looked at to tell its format.
const sniffed = 512

// format is an image format that is read here.
type format struct {
	mediaType string
	name      string // with its article, as in "begins like a JPEG"
	begins    func(head []byte) bool
	open      func(data []byte) (stored, error)
}

var formats = []format{
	{"image/jpeg", "a JPEG", prefix("\xff\xd8\xff"), openJPEG},
	{"image/png", "a PNG", prefix("\x89PNG\r\n\x1a\n"), openPNG},
	{"image/gif", "a GIF", prefix("GIF87a", "GIF89a"), openGIF},
	{"image/webp", "a WebP", at(8, "WEBP", "RIFF"), openWebP},
	{"image/bmp", "a BMP", isBMP, openBMP},
	{"image/tiff", "a TIFF", isTIFF, openTIFF},
	{"image/avif", "an AVIF", brand("avif", "avis"), openAVIF},
}

func formatOf(head []byte) *format {
	for i := range formats {
		if formats[i].begins(head) {
			return &formats[i]
		}
	}
	return nil
}

// MediaTypes returns the media types of the formats that are read here.
func MediaTypes() []string {
	types := make([]string, len(formats))
	for i, f := range formats {
		types[i] = f.mediaType
	}
	return types
}

// foreign are image formats that are known and not read here.
var foreign = []struct {
	mediaType, name string
	begins          func(head []byte) bool
}{
	{"image/heic", "a HEIC picture", brand("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1")},
	{"image/jxl", "a JPEG XL picture", prefix("\xff\x0a", "\x00\x00\x00\x0cJXL \r\n\x87\n")},
	{"image/jp2", "a JPEG 2000 picture", prefix("\x00\x00\x00\x0cjP  \r\n\x87\n", "\xff\x4f\xff\x51")},
	{"image/svg+xml", "an SVG drawing", isSVG},
	{"image/vnd.adobe.photoshop", "a Photoshop document", prefix("8BPS")},
	{"image/x-icon", "a Windows icon", prefix("\x00\x00\x01\x00", "\x00\x00\x02\x00")},
	{"image/x-raw", "a camera's raw file", isRaw},
	{"image/x-qoi", "a QOI picture", prefix("qoif")},
	{"image/x-exr", "an OpenEXR picture", prefix("\x76\x2f\x31\x01")},
	{"image/x-xcf", "a GIMP document", prefix("gimp xcf")},
	{"image/vnd.ms-dds", "a DDS texture", prefix("DDS ")},
	{"image/x-portable-anymap", "a Netpbm picture", isNetpbm},
	{"image/vnd.radiance", "a Radiance HDR picture", prefix("#?RADIANCE")},
	{"image/jxr", "a JPEG XR picture", prefix("II\xbc\x01")},
	{"image/x-sgi", "an SGI picture", prefix("\x01\xda\x00\x01", "\x01\xda\x01\x01")},
}

// Sniff returns the media type of the image that begins with head, and "" where head is of no known image
// format. It looks at 512 bytes at most; the media type may be of a format that is not read here: see [Check].
func Sniff(head []byte) string {
	head = head[:min(len(head), sniffed)]
	if f := formatOf(head); f != nil {
		return f.mediaType
	}
	for _, f := range foreign {
		if f.begins(head) {
			return f.mediaType
		}
	}
	return ""
}

// Check returns nil where the file that begins with head is of a format that is read here, and otherwise an
// [*ocelli.Error] that says what it is instead. As with [Decoder.Decode], the sentence lacks its subject.
func Check(head []byte) error {
	if len(head) == 0 {
		return ocelli.Errorf(ocelli.EmptyFile, "is empty: it has no bytes at all")
	}
	head = head[:min(len(head), sniffed)]
	if formatOf(head) != nil {
		return nil
	}
	for _, f := range foreign {
		if f.begins(head) {
			return unsupported("is %s, a format that is not read here; convert it to JPEG, PNG or WebP", f.name)
		}
	}
	return unsupported("is not an image: it begins like %s", describe(head))
}

// others are the formats that people take for images, or send by mistake.
var others = []struct {
	name   string
	begins func(head []byte) bool
}{
	{"a PDF document", prefix("%PDF-")},
	{"a ZIP archive or an Office document", prefix("PK\x03\x04", "PK\x05\x06")},
	{"a gzip archive", prefix("\x1f\x8b")},
	{"a RAR archive", prefix("Rar!\x1a\x07")},
	{"a 7-Zip archive", prefix("7z\xbc\xaf\x27\x1c")},
	{"a compressed file", prefix("BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd")},
	{"a tar archive", at(257, "ustar", "")},
	{"a video", at(4, "ftyp", "")},
	{"a video", at(8, "AVI ", "RIFF")},
	{"a video", prefix("\x1aE\xdf\xa3", "FLV\x01", "\x00\x00\x01\xba", "\x00\x00\x01\xb3", "0&\xb2u\x8ef\xcf\x11")},
	{"a sound file", prefix("ID3", "fLaC", "OggS", "\xff\xfb", "\xff\xf3", "MThd")},
	{"a sound file", at(8, "WAVE", "RIFF")},
	{"an executable", prefix("\x7fELF", "MZ", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe", "\x00asm")},
	{"a PostScript file", prefix("%!PS")},
	{"a font", prefix("wOFF", "wOF2", "OTTO", "\x00\x01\x00\x00\x00")},
	{"an old Office document", prefix("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")},
	{"an SQLite database", prefix("SQLite format 3\x00")},
	{"an HTML page", isHTML},
	{"a script", prefix("#!")},
	{"an XML document", prefix("<?xml", "\xef\xbb\xbf<?xml")},
	{"a rich-text document", prefix("{\\rtf")},
	{"plain text", isText},
}

// describe says in plain words what a file that is no image begins like.
func describe(head []byte) string {
	for _, f := range others {
		if f.begins(head) {
			return f.name
		}
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "a block of zeros"
	}
	return "no format that is known here"
}

// prefix returns a test for any of the beginnings.
func prefix(beginnings ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, b := range beginnings {
			if strings.HasPrefix(string(head[:min(len(head), len(b))]), b) {
				return true
			}
		}
		return false
	}
}

// at returns a test for the mark at the offset, in a file that begins with beginning.
func at(offset int, mark, beginning string) func([]byte) bool {
	return func(head []byte) bool {
		return bytes.HasPrefix(head, []byte(beginning)) && len(head) > offset && bytes.HasPrefix(head[offset:], []byte(mark))
	}
}

// brand returns a test for an ISO base media file (ISO/IEC 14496-12, section 4.3) of one of the major brands. Where the
// major brand is one that says little (mif1, msf1), the first compatible brand of the list in the file decides.
func brand(brands ...string) func([]byte) bool {
	return func(head []byte) bool {
		if len(head) < 16 || string(head[4:8]) != "ftyp" {
			return false
		}
		major := string(head[8:12])
		if major == "mif1" || major == "msf1" {
			size := int(be32(head))
			for i := 16; i+4 <= min(size, len(head)); i += 4 {
				if b := string(head[i : i+4]); b == "avif" || b == "avis" || strings.HasPrefix(b, "hei") || strings.HasPrefix(b, "hev") {
					major = b
					break
				}
			}
		}
		for _, b := range brands {
			if major == b {
				return true
			}
		}
		return false
	}
}

func isBMP(head []byte) bool {
	if len(head) < 18 || string(head[:2]) != "BM" {
		return len(head) < 18 && len(head) > 2 && string(head[:2]) == "BM" && !isText(head)
	}
	size := le32(head[14:]) // of the second header: 12 in OS/2, 40 to 124 in Windows
	return size == 12 || size >= 16 && size <= 124
}

func isTIFF(head []byte) bool {
	return prefix("II*\x00", "MM\x00*")(head) && !isRaw(head)
}

// isRaw knows the raw formats with a mark of their own. Others (NEF, ARW, DNG) look like any TIFF.
func isRaw(head []byte) bool {
	return prefix("IIRO", "IIRS", "MMOR", "IIU\x00", "FUJIFILMCCD-RAW", "\x00MRM", "FOVb")(head) ||
		at(8, "CR\x02", "II*\x00")(head) || brand("crx ")(head)
}

func isNetpbm(head []byte) bool {
	return len(head) > 2 && head[0] == 'P' && head[1] >= '1' && head[1] <= '7' && strings.IndexByte(" \t\r\n", head[2]) >= 0
}

// markup returns the beginning of a text in lower case, without byte-order mark and leading space.
func markup(head []byte) []byte {
	return bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))))
}

func isSVG(head []byte) bool {
	m := markup(head)
	return bytes.HasPrefix(m, []byte("<svg")) ||
		(bytes.HasPrefix(m, []byte("<?xml")) || bytes.HasPrefix(m, []byte("<!"))) && (bytes.Contains(m, []byte("<svg")) || bytes.Contains(m, []byte("<!doctype svg")))
}

func isHTML(head []byte) bool {
	m := markup(head)
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<script", "<title", "<table", "<div", "<p>", "<a "} {
		if bytes.HasPrefix(m, []byte(tag)) {
			return true
		}
	}
	return false
}

func isText(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return len(head)%2 == 0 // UTF-16
	}
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(head) // the last character may be cut
		}
		if r < ' ' && strings.IndexByte("\t\n\v\f\r\x1b", byte(r)) < 0 || r == 0x7f {
			return false
		}
		head = head[n:]
	}
	return true
}
