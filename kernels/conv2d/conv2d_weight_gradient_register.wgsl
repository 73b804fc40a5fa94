// Gradient of a convolution's weight with a register tile per invocation and no workgroup memory.
//
//   dw[s, o, ky, kx, c] = sum over the output pixels (n, oy, ox) of slice s of
//     dy[n, oy, ox, o] * x[n, oy * stride - top + ky * dilation, ox * stride - left + kx * dilation,
//     g * C + c],  g = o / outputs per group; outside the image x is 0
//
// Shapes: x: vec4<f32>[N, H, W, groups * quads], C = 4 * quads; dy: vec4<f32>[N, OH, OW, O / 4];
//   dw: vec4<f32>[slices, O, KH, KW, quads]. Row-major; O of a group is a multiple of 4.
// Bindings: x, dy, dw.
// Dispatch: gridFor(slices * tiles, 8), folded from x into y; tiles = groups * output tiles *
//   channel tiles * KH * (KW / TAPS). A tile is 4 * OUTPUTS outputs, TAPS taps along x and
//   4 * CHANNELS channels. Neighbouring invocations own neighbouring tiles of a slice.
// A slice is a run of segments; a segment is a part of an output row.
// Accumulates in f32, in the order of the pixels. conv2d_add_slices.wgsl adds the slices.
//
// Made for adapters that compute on the CPU, where a load costs as much as 11 to 25 fma whatever
// memory it comes from: taps along a row share one window of WINDOW pixels, and PIXELS pixels stand
// together in each sum, so that it stays in a register.

const OUTPUTS: u32 = 4u; // @spec vec4 elements along o of a tile
const CHANNELS: u32 = 2u; // @spec vec4 elements along c of a tile
const TAPS: u32 = 3u; // @spec taps along x of a tile
const PIXELS: u32 = 4u; // @spec pixels of a step
const WINDOW: u32 = 6u; // @spec (PIXELS - 1) * PIXEL_STEP + (TAPS - 1) * TAP_STEP + 1
const PIXEL_STEP: u32 = 1u; // @spec window places between neighbouring outputs
const TAP_STEP: u32 = 1u; // @spec window places between neighbouring taps

struct Params {
  height: u32,
  width: u32,
  pixel_quads: u32, // vec4 elements of a pixel of x
  quads: u32, // vec4 elements of a group of x
  out_height: u32,
  out_width: u32,
  output_quads: u32, // vec4 elements of a pixel of dy
  group_quads: u32, // vec4 elements of a group of dy
  kernel_height: u32,
  kernel_width: u32,
  stride_y: u32,
  stride_x: u32,
  top: u32,
  left: u32,
  dilation_y: u32,
  dilation_x: u32,
  place: u32, // pixels of x between neighbouring window places
  row_segments: u32, // segments of an output row
  segment_columns: u32, // a multiple of PIXELS
  segments: u32, // of all rows of all images
  slice_segments: u32,
  output_tiles: u32, // of a group
  channel_tiles: u32, // of a group
  tap_tiles: u32, // KW / TAPS
  tiles: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let unit = (wid.y * grid.x + wid.x) * 8u + lane;
  if (unit >= params.slices * params.tiles) {
    return;
  }
  let slice = unit / params.tiles;
  var rest = unit % params.tiles;
  let channel = rest % params.channel_tiles * CHANNELS; // vec4 within the group
  rest /= params.channel_tiles;
  let kx = rest % params.tap_tiles * TAPS;
  rest /= params.tap_tiles;
  let ky = rest % params.kernel_height;
  rest /= params.kernel_height;
  let output = rest % params.output_tiles * OUTPUTS; // vec4 within the group
  let group = rest / params.output_tiles;
  let x_start = group * params.quads + channel;
  let dy_start = group * params.group_quads + output;

  var sum: array<vec4<f32>, TAPS * OUTPUTS * 4u * CHANNELS>;
  let end = min(params.segments, (slice + 1u) * params.slice_segments);
  for (var segment = slice * params.slice_segments; segment < end; segment++) {
    let row = segment / params.row_segments;
    // Rows and columns above or left of the image wrap around to large numbers.
    let iy = row % params.out_height * params.stride_y + ky * params.dilation_y - params.top;
    if (iy >= params.height) {
      continue;
    }
    let x_row = (row / params.out_height * params.height + iy) * params.width;
    let first_column = segment % params.row_segments * params.segment_columns;
    let last_column = min(params.out_width, first_column + params.segment_columns);
    for (var column = first_column; column < last_column; column += PIXELS) {
      let left = column * params.stride_x + kx * params.dilation_x - params.left;
      var a: array<vec4<f32>, WINDOW * CHANNELS>;
      for (var p = 0u; p < WINDOW; p++) { // @unroll
        let ix = left + p * params.place;
        for (var c = 0u; c < CHANNELS; c++) { // @unroll
          a[p * CHANNELS + c] = select(vec4<f32>(), x[(x_row + ix) * params.pixel_quads + x_start + c], ix < params.width);
        }
      }
      for (var o = 0u; o < OUTPUTS; o++) { // @unroll
        var b: array<vec4<f32>, PIXELS>;
        for (var i = 0u; i < PIXELS; i++) { // @unroll
          b[i] = select(vec4<f32>(), dy[(row * params.out_width + column + i) * params.output_quads + dy_start + o], column + i < last_column);
        }
        for (var e = 0u; e < 4u; e++) { // @unroll
          for (var k = 0u; k < TAPS; k++) { // @unroll
            for (var c = 0u; c < CHANNELS; c++) { // @unroll
              for (var i = 0u; i < PIXELS; i++) { // @unroll
                sum[((k * OUTPUTS + o) * 4u + e) * CHANNELS + c] = fma(vec4<f32>(b[i][e]), a[(i * PIXEL_STEP + k * TAP_STEP) * CHANNELS + c], sum[((k * OUTPUTS + o) * 4u + e) * CHANNELS + c]);
              }
            }
          }
        }
      }
    }
  }

  for (var o = 0u; o < OUTPUTS; o++) { // @unroll
    if (output + o < params.group_quads) {
      for (var e = 0u; e < 4u; e++) { // @unroll
        let weight_row = (slice * params.output_quads + dy_start + o) * 4u + e;
        for (var k = 0u; k < TAPS; k++) { // @unroll
          for (var c = 0u; c < CHANNELS; c++) { // @unroll
            if (channel + c < params.quads) {
              dw[((weight_row * params.kernel_height + ky) * params.kernel_width + kx + k) * params.quads + channel + c] = sum[((k * OUTPUTS + o) * 4u + e) * CHANNELS + c];
            }
          }
        }
      }
    }
  }
}
