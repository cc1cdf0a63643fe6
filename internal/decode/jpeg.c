// Decoding of JPEG by libjpeg-turbo (https://libjpeg-turbo.org), through the API of libjpeg 6b, which, other than
// TurboJPEG's, tells warnings apart, can be stopped, and limits its own memory. The manual is libjpeg.txt of
// libjpeg-turbo 2.1.
#include "jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

struct decoding {
  struct jpeg_error_mgr errors; // first: libjpeg's pointer to it is a pointer to the whole
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  enum jpeg_outcome outcome;
  char *message;
  const struct jpeg_limits *limits;
  const int32_t *stop;
  int ended;      // the file's last byte has been read, and more was wanted
  int scan;       // the last one seen by watch
  int64_t blocks; // of all scans up to it
};

static _Noreturn void leave(struct decoding *d, enum jpeg_outcome outcome) {
  d->outcome = outcome;
  longjmp(d->escape, 1);
}

// fail is libjpeg's error_exit, which must not return.
static void fail(j_common_ptr c) {
  struct decoding *d = (struct decoding *)c->err;
  (*c->err->format_message)(c, d->message); // JMSG_LENGTH_MAX is 200
  leave(d, JPEG_DAMAGED);
}

// warn is libjpeg's emit_message. Most warnings are harmless, such as spare bytes between segments. Three say that
// there is no telling what the rest of the picture looks like: libjpeg would paint it grey.
static void warn(j_common_ptr c, int level) {
  struct decoding *d = (struct decoding *)c->err;
  if (level >= 0) return; // not a warning but a trace
  switch (c->err->msg_code) {
  case JWRN_JPEG_EOF:
    d->ended = 1; // a file that only lacks its end marker is whole
    return;
  case JWRN_HIT_MARKER:
    if (d->ended) leave(d, JPEG_TRUNCATED);
    fail(c);
    return;
  case JWRN_HUFF_BAD_CODE:
  case JWRN_ARITH_BAD_CODE:
    fail(c);
  }
}

static void silent(j_common_ptr c) { (void)c; }

// watch is libjpeg's progress_monitor, called about once for each row of blocks. It counts the work that the scans ask
// for: thousands of scans over a large picture fit into a small file.
static void watch(j_common_ptr c) {
  struct decoding *d = (struct decoding *)c->err;
  j_decompress_ptr j = (j_decompress_ptr)c;
  if (__atomic_load_n(d->stop, __ATOMIC_RELAXED)) leave(d, JPEG_STOPPED);
  if (j->input_scan_number == d->scan) return;
  d->scan = j->input_scan_number;
  for (int i = 0; i < j->comps_in_scan; i++) {
    const jpeg_component_info *comp = j->cur_comp_info[i];
    d->blocks += (int64_t)comp->width_in_blocks * comp->height_in_blocks;
  }
  if (d->scan > d->limits->scans || d->blocks > d->limits->blocks) leave(d, JPEG_TOO_MUCH_WORK);
}

// from_cmyk turns a row of CMYK into RGB. Programs write the four inks inverted into a JPEG, as Adobe Photoshop does
// (255 is no ink), so that a colour is its ink times the black, as Pillow and browsers take it too.
static void from_cmyk(const JSAMPLE *cmyk, unsigned char *rgb, int width) {
  for (int x = 0; x < width; x++, cmyk += 4, rgb += 3) {
    for (int i = 0; i < 3; i++) rgb[i] = (unsigned char)((cmyk[i] * cmyk[3] + 127) / 255);
  }
}

static void read_rows(j_decompress_ptr j, unsigned char *rgb) {
  JSAMPARRAY inks = NULL;
  if (j->out_color_space == JCS_CMYK)
    inks = (*j->mem->alloc_sarray)((j_common_ptr)j, JPOOL_IMAGE, j->output_width * 4, 1);
  while (j->output_scanline < j->output_height) {
    JSAMPROW row = rgb + (size_t)j->output_scanline * j->output_width * 3;
    if (inks == NULL) {
      jpeg_read_scanlines(j, &row, 1);
    } else {
      jpeg_read_scanlines(j, inks, 1);
      from_cmyk(inks[0], row, (int)j->output_width);
    }
  }
}

int jpeg_decode(const unsigned char *data, size_t len, unsigned char *rgb, int width, int height, int eighths,
                const struct jpeg_limits *limits, const int32_t *stop, char *message) {
  struct jpeg_decompress_struct j;
  struct decoding d;
  memset(&j, 0, sizeof j);
  memset(&d, 0, sizeof d);
  d.message = message;
  d.limits = limits;
  d.stop = stop;
  j.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = fail;
  d.errors.emit_message = warn;
  d.errors.output_message = silent;
  d.progress.progress_monitor = watch;
  if (setjmp(d.escape)) {
    jpeg_destroy_decompress(&j);
    return d.outcome;
  }
  jpeg_create_decompress(&j);
  j.progress = &d.progress;
  j.mem->max_memory_to_use = limits->memory;
  jpeg_mem_src(&j, data, len);
  jpeg_read_header(&j, TRUE);
  j.scale_num = (unsigned)eighths;
  j.scale_denom = 8;
  j.out_color_space = j.jpeg_color_space == JCS_CMYK || j.jpeg_color_space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
  jpeg_calc_output_dimensions(&j);
  if (j.output_width != (JDIMENSION)width || j.output_height != (JDIMENSION)height) {
    snprintf(message, JMSG_LENGTH_MAX, "its headers disagree about its size");
    leave(&d, JPEG_DAMAGED);
  }
  jpeg_start_decompress(&j);
  read_rows(&j, rgb);
  jpeg_destroy_decompress(&j); // without jpeg_finish_decompress, which would read on to the end marker
  return JPEG_OK;
}
