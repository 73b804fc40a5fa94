// Gradient of a depthwise weight, four outputs and ROWS x TAPS taps per invocation.
//
//   dw[s, o, ky, kx] = sum over the output pixels (n, oy, ox) of slice s of dy[n, oy, ox, o] *
//     x[n, oy * stride - top + ky * dilation, ox * stride - left + kx * dilation, o / multiplier];
//     outside the image x is 0
//
// Shapes: x: f32[N, H, W, C] and dy: f32[N, OH, OW, O], O = multiplier * C, each bound as vec4
//   (VECTOR = 1: multiplier 1, C a multiple of 4) and as scalars, the same memory; dw: f32[slices, O,
//   KH, KW]. Row-major.
// Bindings: x4, x1, dy4, dy1, dw. Dispatch: gridFor(slices * KH / ROWS * KW / TAPS * quads,
//   WORKGROUP),
//   quads = ceil(O / 4), folded from x into y. Neighbouring invocations own neighbouring outputs.
// A slice is a run of segments; a segment is a part of an output row.
// Accumulates in f32, in the order of the pixels. conv2d_add_slices.wgsl adds the slices.

const ROWS: u32 = 3u; // @spec rows of taps of an invocation
const TAPS: u32 = 3u; // @spec taps along x of an invocation
const PIXELS: u32 = 4u; // @spec pixels of a step
const WINDOW: u32 = 6u; // @spec (PIXELS - 1) * PIXEL_STEP + (TAPS - 1) * TAP_STEP + 1
const PIXEL_STEP: u32 = 1u; // @spec window places between neighbouring outputs
const TAP_STEP: u32 = 1u; // @spec window places between neighbouring taps
const VECTOR: u32 = 1u; // @spec

override WORKGROUP: u32 = 8u;

struct Params {
  height: u32,
  width: u32,
  channels: u32, // C
  out_height: u32,
  out_width: u32,
  outputs: u32, // O
  multiplier: u32, // outputs of a channel
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
  tap_rows: u32, // KH / ROWS
  tap_tiles: u32, // KW / TAPS
  quads: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x1: array<f32>;
@group(0) @binding(2) var<storage, read> dy4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy1: array<f32>;
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let unit = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  let quad = unit % params.quads;
  let kx = unit / params.quads % params.tap_tiles * TAPS;
  let ky = unit / (params.quads * params.tap_tiles) % params.tap_rows * ROWS;
  let slice = unit / (params.quads * params.tap_tiles * params.tap_rows);
  if (slice >= params.slices) {
    return;
  }
  let output = quad * 4u;
  let last = params.channels - 1u;
  let source = vec4<u32>(
    min(output / params.multiplier, last),
    min((output + 1u) / params.multiplier, last),
    min((output + 2u) / params.multiplier, last),
    min((output + 3u) / params.multiplier, last),
  );
  var sum: array<vec4<f32>, ROWS * TAPS>;
  let end = min(params.segments, (slice + 1u) * params.slice_segments);
  for (var segment = slice * params.slice_segments; segment < end; segment++) {
    let row = segment / params.row_segments;
    let image_row = row / params.out_height * params.height;
    // Rows and columns above or left of the image wrap around to large numbers.
    let top = row % params.out_height * params.stride_y + ky * params.dilation_y - params.top;
    let first_column = segment % params.row_segments * params.segment_columns;
    let last_column = min(params.out_width, first_column + params.segment_columns);
    for (var column = first_column; column < last_column; column += PIXELS) {
      let left = column * params.stride_x + kx * params.dilation_x - params.left;
      var d: array<vec4<f32>, PIXELS>;
      for (var i = 0u; i < PIXELS; i++) { // @unroll
        let pixel = row * params.out_width + column + i;
        var value = vec4<f32>();
        if (VECTOR == 1u) { // @static
          value = dy4[pixel * params.quads + quad];
        }
        if (VECTOR == 0u) { // @static
          let at = pixel * params.outputs + output;
          value = vec4<f32>(dy1[at], dy1[at + 1u], dy1[at + 2u], dy1[at + 3u]);
        }
        d[i] = select(vec4<f32>(), value, column + i < last_column);
      }
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let iy = top + r * params.dilation_y;
        var a: array<vec4<f32>, WINDOW>;
        for (var p = 0u; p < WINDOW; p++) { // @unroll
          let ix = left + p * params.place;
          var value = vec4<f32>();
          if (VECTOR == 1u) { // @static
            value = x4[((image_row + iy) * params.width + ix) * params.quads + quad];
          }
          if (VECTOR == 0u) { // @static
            let at = ((image_row + iy) * params.width + ix) * params.channels;
            value = vec4<f32>(x1[at + source.x], x1[at + source.y], x1[at + source.z], x1[at + source.w]);
          }
          a[p] = select(vec4<f32>(), value, iy < params.height && ix < params.width);
        }
        for (var i = 0u; i < PIXELS; i++) { // @unroll
          for (var k = 0u; k < TAPS; k++) { // @unroll
            sum[r * TAPS + k] = fma(a[i * PIXEL_STEP + k * TAP_STEP], d[i], sum[r * TAPS + k]);
          }
        }
      }
    }
  }
  for (var e = 0u; e < 4u; e++) { // @unroll
    if (output + e < params.outputs) {
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let at = ((slice * params.outputs + output + e) * params.kernel_height + ky + r) * params.kernel_width + kx;
        for (var k = 0u; k < TAPS; k++) { // @unroll
          dw[at + k] = sum[r * TAPS + k][e];
        }
      }
    }
  }
}
