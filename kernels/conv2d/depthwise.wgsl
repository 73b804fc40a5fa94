// Depthwise convolution, four channels per invocation and COLUMNS pixels of a row; also the gradient
// of its image, which is a depthwise convolution of dy with the turned weight.
//
//   y[n, first + i * step, o] = bias[o] + sum over the taps k and m < terms of
//     x[n, origin + i * stride + k * dilation, o * up / down + m]
//     * weight[w_first + k * w_step, m, o];  outside the image x is 0
//
// where every index that is not n, o or m stands for the two axes of an image. Forward: terms = 1,
// up = 1, down = outputs per channel. Gradient of the image: terms = up = outputs per channel,
// down = 1.
//
// Shapes: x: f32[N, H, W, C], bound as vec4 (VECTOR = 1: terms = up = down = 1, C a multiple of 4) or
//   as scalars; weight: vec4<f32>[WH, WW, terms, quads]; bias: f32[O], read when has_bias is 1;
//   y: f32[N, YH, YW, O], bound as vec4 (VECTOR = 1) or as scalars, any buffer for the other one.
//   O = 4 * quads at most. All row-major.
// Bindings: x4, x1, weight, bias, y4, y1.
// Dispatch: gridFor(items, WORKGROUP), folded from x into y; items = rows of all images * column
//   tiles * quads. Neighbouring invocations own neighbouring channels.
// Accumulates in f32, in the order of ky, kx (in steps of TAPS), m, kx within the step.

const COLUMNS: u32 = 4u; // @spec pixels of an invocation
const TAPS: u32 = 3u; // @spec taps along x that share a window
const WINDOW: u32 = 6u; // @spec (COLUMNS - 1) * PIXEL_STEP + (TAPS - 1) * TAP_STEP + 1
const PIXEL_STEP: u32 = 1u; // @spec window places between neighbouring outputs
const TAP_STEP: u32 = 1u; // @spec window places between neighbouring taps
const VECTOR: u32 = 1u; // @spec

override WORKGROUP: u32 = 8u;

struct Params {
  height: u32,
  width: u32,
  channels: u32, // C
  taps_y: u32,
  taps_x: u32,
  origin_y: i32, // row of x under the first output and tap
  origin_x: i32,
  stride_y: u32,
  stride_x: u32,
  dilation_y: u32,
  dilation_x: u32,
  place: u32, // pixels of x between neighbouring window places
  weight_height: u32, // WH
  weight_width: u32, // WW
  weight_y: u32, // row of the weight of the first tap
  weight_x: u32,
  weight_step_y: u32,
  weight_step_x: u32,
  rows: u32, // output rows of all images
  image_rows: u32, // output rows of an image
  columns: u32,
  target_height: u32, // YH
  target_width: u32, // YW
  target_y: u32, // row of y of the first output
  target_x: u32,
  target_step_y: u32,
  target_step_x: u32,
  outputs: u32, // O
  terms: u32,
  up: u32,
  down: u32,
  quads: u32,
  column_tiles: u32,
  items: u32,
  has_bias: u32,
  relu: u32,
}

@group(0) @binding(0) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x1: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y1: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  if (item >= params.items) {
    return;
  }
  let quad = item % params.quads;
  let output = quad * 4u;
  let column = item / params.quads % params.column_tiles * COLUMNS;
  let row = item / (params.quads * params.column_tiles);
  let image = row / params.image_rows;
  let image_row = row % params.image_rows;

  // The channels under the four outputs; those beyond the last output read the last channel.
  let last = params.channels - params.terms;
  let source = vec4<u32>(
    min(output * params.up / params.down, last),
    min((output + 1u) * params.up / params.down, last),
    min((output + 2u) * params.up / params.down, last),
    min((output + 3u) * params.up / params.down, last),
  );
  // Rows and columns above or left of the image wrap around to large numbers.
  let top = image_row * params.stride_y + u32(params.origin_y);
  let left = column * params.stride_x + u32(params.origin_x);

  var sum: array<vec4<f32>, COLUMNS>;
  for (var ky = 0u; ky < params.taps_y; ky++) {
    let iy = top + ky * params.dilation_y;
    if (iy >= params.height) {
      continue;
    }
    let start = (image * params.height + iy) * params.width;
    let weight_row = (params.weight_y + ky * params.weight_step_y) * params.weight_width;
    for (var kx = 0u; kx < params.taps_x; kx += TAPS) {
      for (var m = 0u; m < params.terms; m++) {
        var a: array<vec4<f32>, WINDOW>;
        for (var p = 0u; p < WINDOW; p++) { // @unroll
          let ix = left + kx * params.dilation_x + p * params.place;
          var value = vec4<f32>();
          if (VECTOR == 1u) { // @static
            value = x4[(start + ix) * params.quads + quad];
          }
          if (VECTOR == 0u) { // @static
            let at = (start + ix) * params.channels + m;
            value = vec4<f32>(x1[at + source.x], x1[at + source.y], x1[at + source.z], x1[at + source.w]);
          }
          a[p] = select(vec4<f32>(), value, ix < params.width);
        }
        for (var k = 0u; k < TAPS; k++) { // @unroll
          let tap = weight_row + params.weight_x + (kx + k) * params.weight_step_x;
          let w = weight[(tap * params.terms + m) * params.quads + quad];
          for (var i = 0u; i < COLUMNS; i++) { // @unroll
            sum[i] = fma(a[i * PIXEL_STEP + k * TAP_STEP], w, sum[i]);
          }
        }
      }
    }
  }

  var shift = vec4<f32>();
  if (params.has_bias == 1u) {
    shift = vec4<f32>(bias[output], bias[output + 1u], bias[output + 2u], bias[output + 3u]);
  }
  let target_row = (image * params.target_height + params.target_y + image_row * params.target_step_y) * params.target_width;
  for (var i = 0u; i < COLUMNS; i++) { // @unroll
    if (column + i < params.columns) {
      let value = sum[i] + shift;
      let result = select(value, vec4<f32>(), (value < vec4<f32>()) & vec4<bool>(params.relu == 1u));
      let at = target_row + params.target_x + (column + i) * params.target_step_x;
      if (VECTOR == 1u) { // @static
        y4[at * params.quads + quad] = result;
      }
      if (VECTOR == 0u) { // @static
        for (var e = 0u; e < 4u; e++) { // @unroll
          if (output + e < params.outputs) {
            y1[at * params.outputs + output + e] = result[e];
          }
        }
      }
    }
  }
}
