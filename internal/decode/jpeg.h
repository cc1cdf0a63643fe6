// The seam between jpeg.go and jpeg.c: one call decodes one JPEG, and nothing is kept between calls.
#ifndef OCELLI_JPEG_H
#define OCELLI_JPEG_H

#include <stddef.h>
#include <stdint.h>

enum jpeg_outcome {
  JPEG_OK,
  JPEG_TRUNCATED,    // the file ends before its pixels do
  JPEG_DAMAGED,      // message says how
  JPEG_STOPPED,      // *stop was set
  JPEG_TOO_MUCH_WORK // more scans, or more blocks in all scans together, than allowed
};

struct jpeg_limits {
  long memory;    // bytes for the coefficients of pictures in several scans
  int scans;      // number of scans
  int64_t blocks; // blocks of 8 × 8 samples, summed over the scans
};

// jpeg_decode decodes the JPEG in data, scaled by eighths/8, into rgb, which has room for exactly width × height pixels
// of three bytes; a JPEG whose scaled size is another is damaged. It returns a jpeg_outcome, and fills message
// (200 bytes) where that is JPEG_DAMAGED. *stop may be set by another thread at any time.
int jpeg_decode(const unsigned char *data, size_t len, unsigned char *rgb, int width, int height, int eighths,
                const struct jpeg_limits *limits, const int32_t *stop, char *message);

#endif
