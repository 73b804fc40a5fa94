// Convolution as an implicit matrix product with tiles in workgroup memory, for GPUs; also the
// gradient of the image, which is a convolution of dy with the turned weight.
//
//   y[n, first + i * step, o] = bias[o] + sum over the taps k and c of
//     x[n, origin + i * stride + k * dilation, g * C + c] * weight[o, w_first + k * w_step, c],
//     g = o / outputs per group; outside the image x is 0
//
// where every index that is not n, o or c stands for the two axes of an image.
//
// Shapes: x: vec4<f32>[N, H, W, groups * quads]; weight: vec4<f32>[O, WH, WW, quads], both contiguous
//   along c, C = 4 * quads; y: f32[N, YH, YW, O], bound as vec4 (WIDE = 1, outputs of a group are a
//   multiple of 4) or as scalars, any buffer for the other one; bias: f32[O], read when has_bias is 1.
//   All row-major.
// Bindings: x, weight, bias, y4, y1.
// Dispatch: gridFor(tiles, 1), folded from x into y; tiles = groups * row tiles * column tiles of the
//   product whose rows are output pixels and whose columns are output channels. A workgroup of
//   TX * TY invocations does 4*RM*TY pixels and 4*RN*TX channels.
// Accumulates in f32, in the order of ky, kx, c, from step_begin to step_end, which count vec4 of x
//   over all taps; adds to y when ACCUMULATE is 1.
//
// A step takes 4*KQ values of (ky, kx, c). An invocation fetches at most one 4 x 4 block of x (four
// pixels, one vec4 each) and one of the weight, transposes them in registers and stores four vec4
// along the rows, so that the inner loop reads whole vec4 from workgroup memory. Its pixels are the
// same in every step, so they are found once.

const TX: u32 = 16u; // @spec invocations along the channels
const TY: u32 = 16u; // @spec invocations along the pixels
const RM: u32 = 1u; // @spec groups of 4 pixels per invocation
const RN: u32 = 1u; // @spec groups of 4 channels per invocation
const KQ: u32 = 4u; // @spec vec4 elements of x per step, so that RM * KQ <= TX and RN * KQ <= TY
const WIDE: u32 = 1u; // @spec
const ACCUMULATE: u32 = 0u; // @spec

const THREADS: u32 = TX * TY;
const ROW_GROUPS: u32 = TY * RM;
const COLUMN_GROUPS: u32 = TX * RN;
const A_STRIDE: u32 = ROW_GROUPS + 1u;
const B_STRIDE: u32 = COLUMN_GROUPS + 1u;

struct Params {
  height: u32,
  width: u32,
  pixel_quads: u32, // vec4 elements of a pixel of x
  quads: u32, // vec4 elements of a group
  step_begin: u32,
  step_end: u32,
  taps_y: u32,
  taps_x: u32,
  origin_y: i32, // row of x under the first output and tap
  origin_x: i32,
  stride_y: u32,
  stride_x: u32,
  dilation_y: u32,
  dilation_x: u32,
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
  group_outputs: u32, // outputs of a group
  row_tiles: u32,
  column_tiles: u32,
  tiles: u32,
  has_bias: u32,
  relu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y1: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4<f32>, 4u * KQ * A_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, 4u * KQ * B_STRIDE>;

fn finish(value: f32) -> f32 {
  return select(value, 0.0, params.relu == 1u && value < 0.0);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last tile: they compute the last one again and store
  // nothing, so that every invocation reaches every barrier.
  let index = wid.y * grid.x + wid.x;
  let tile = min(index, params.tiles - 1u);
  let column_tile = tile % params.column_tiles;
  let row_tile = tile / params.column_tiles % params.row_tiles;
  let group = tile / (params.column_tiles * params.row_tiles);
  let first_row = row_tile * ROW_GROUPS * 4u;
  let first_column = column_tile * COLUMN_GROUPS * 4u;
  let tx = lane % TX;
  let ty = lane / TX;
  let pixels = params.rows * params.columns;

  // The block that this invocation fetches: its vec4 of a step, and its pixels and channels.
  let block_quad = lane % KQ;
  let block = lane / KQ;
  var top: array<u32, 4>; // row of the first tap; above the image it wraps around
  var left: array<u32, 4>;
  var image_row: array<u32, 4>; // of x, first of the image
  for (var e = 0u; e < 4u; e++) { // @unroll
    let pixel = first_row + block * 4u + e;
    let row = pixel / params.columns;
    image_row[e] = row / params.image_rows * params.height;
    // Pixels beyond the last lie far below every image.
    top[e] = select(0x80000000u, row % params.image_rows * params.stride_y + u32(params.origin_y), pixel < pixels);
    left[e] = pixel % params.columns * params.stride_x + u32(params.origin_x);
  }
  let output_quads = params.weight_height * params.weight_width * params.quads;
  let block_column = first_column + block * 4u;

  var sum: array<vec4<f32>, 4u * RM * RN>;
  for (var step = params.step_begin; step < params.step_end; step += KQ) {
    let place = step + block_quad;
    let quad = place % params.quads;
    let tap = place / params.quads;
    let ky = tap / params.taps_x;
    let kx = tap % params.taps_x;
    let known = place < params.step_end;
    if (block < ROW_GROUPS) {
      var v: array<vec4<f32>, 4>;
      for (var e = 0u; e < 4u; e++) { // @unroll
        let iy = top[e] + ky * params.dilation_y;
        let ix = left[e] + kx * params.dilation_x;
        v[e] = vec4<f32>();
        if (known && iy < params.height && ix < params.width) {
          v[e] = x[((image_row[e] + iy) * params.width + ix) * params.pixel_quads + group * params.quads + quad];
        }
      }
      for (var e = 0u; e < 4u; e++) { // @unroll
        a_tile[(block_quad * 4u + e) * A_STRIDE + block] = vec4<f32>(v[0][e], v[1][e], v[2][e], v[3][e]);
      }
    }
    if (block < COLUMN_GROUPS) {
      let weight_row = params.weight_y + ky * params.weight_step_y;
      let weight_column = params.weight_x + kx * params.weight_step_x;
      let at = (weight_row * params.weight_width + weight_column) * params.quads + quad;
      var v: array<vec4<f32>, 4>;
      for (var e = 0u; e < 4u; e++) { // @unroll
        v[e] = vec4<f32>();
        if (known && block_column + e < params.group_outputs) {
          v[e] = weight[(group * params.group_outputs + block_column + e) * output_quads + at];
        }
      }
      for (var e = 0u; e < 4u; e++) { // @unroll
        b_tile[(block_quad * 4u + e) * B_STRIDE + block] = vec4<f32>(v[0][e], v[1][e], v[2][e], v[3][e]);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < KQ * 4u; k += 4u) {
      for (var e = 0u; e < 4u; e++) { // @unroll
        var b: array<vec4<f32>, RN>;
        for (var j = 0u; j < RN; j++) { // @unroll
          b[j] = b_tile[(k + e) * B_STRIDE + j * TX + tx];
        }
        for (var i = 0u; i < RM; i++) { // @unroll
          let a = a_tile[(k + e) * A_STRIDE + i * TY + ty];
          for (var j = 0u; j < RN; j++) { // @unroll
            sum[(i * 4u + 0u) * RN + j] = fma(vec4<f32>(a.x), b[j], sum[(i * 4u + 0u) * RN + j]);
            sum[(i * 4u + 1u) * RN + j] = fma(vec4<f32>(a.y), b[j], sum[(i * 4u + 1u) * RN + j]);
            sum[(i * 4u + 2u) * RN + j] = fma(vec4<f32>(a.z), b[j], sum[(i * 4u + 2u) * RN + j]);
            sum[(i * 4u + 3u) * RN + j] = fma(vec4<f32>(a.w), b[j], sum[(i * 4u + 3u) * RN + j]);
          }
        }
      }
    }
    // The next step overwrites what this one reads.
    workgroupBarrier();
  }

  for (var i = 0u; i < RM; i++) { // @unroll
    for (var r = 0u; r < 4u; r++) { // @unroll
      let pixel = first_row + (i * TY + ty) * 4u + r;
      if (index < params.tiles && pixel < pixels) {
        let row = pixel / params.columns;
        let target_y = params.target_y + row % params.image_rows * params.target_step_y;
        let target_x = params.target_x + pixel % params.columns * params.target_step_x;
        let start = ((row / params.image_rows * params.target_height + target_y) * params.target_width + target_x) * params.outputs;
        for (var j = 0u; j < RN; j++) { // @unroll
          let column = first_column + (j * TX + tx) * 4u;
          let output = group * params.group_outputs + column;
          var value = sum[(i * 4u + r) * RN + j];
          if (column < params.group_outputs) {
            if (params.has_bias == 1u) {
              value += vec4<f32>(bias[output], bias[output + 1u], bias[output + 2u], bias[output + 3u]);
            }
            if (WIDE == 1u) { // @static
              if (ACCUMULATE == 1u) { // @static
                value += y4[(start + output) / 4u];
              }
              y4[(start + output) / 4u] = vec4<f32>(finish(value.x), finish(value.y), finish(value.z), finish(value.w));
            }
            if (WIDE == 0u) { // @static
              for (var e = 0u; e < 4u; e++) { // @unroll
                if (column + e < params.group_outputs) {
                  if (ACCUMULATE == 1u) { // @static
                    value[e] += y1[start + output + e];
                  }
                  y1[start + output + e] = finish(value[e]);
                }
              }
            }
          }
        }
      }
    }
  }
}
