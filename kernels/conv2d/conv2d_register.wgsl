// Convolution as an implicit matrix product with a register tile per invocation and no workgroup
// memory; also the gradient of the image, which is a convolution of dy with the turned weight.
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
// Dispatch: gridFor(tiles, 8), folded from x into y; tiles = row tiles * column tiles * channel tiles
//   (of all groups). A tile is ROWS x COLUMNS outputs of CHANNELS channels; rows are those of all
//   images, one after the other. Neighbouring invocations own neighbouring channels.
// Accumulates in f32, in the order of ky, kx (in steps of TAPS), quads, kx within the step; adds to y
//   when ACCUMULATE is 1.
//
// Made for adapters that compute on the CPU, where a load costs as much as 11 to 25 fma whatever
// memory it comes from: TAPS taps along a row share one window of WINDOW pixels.

const ROWS: u32 = 1u; // @spec rows of a tile
const COLUMNS: u32 = 16u; // @spec columns of a tile
const CHANNELS: u32 = 8u; // @spec output channels of a tile, a multiple of 4
const TAPS: u32 = 3u; // @spec taps along x that share a window
const WINDOW: u32 = 18u; // @spec (COLUMNS - 1) * PIXEL_STEP + (TAPS - 1) * TAP_STEP + 1
const PIXEL_STEP: u32 = 1u; // @spec window places between neighbouring outputs
const TAP_STEP: u32 = 1u; // @spec window places between neighbouring taps
const QUADS: u32 = 2u; // @spec CHANNELS / 4
const WIDE: u32 = 1u; // @spec
const ACCUMULATE: u32 = 0u; // @spec

struct Params {
  height: u32,
  width: u32,
  pixel_quads: u32, // vec4 elements of a pixel of x
  quads: u32, // vec4 elements of a group
  quad_begin: u32,
  quad_end: u32,
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
  group_outputs: u32, // outputs of a group
  group_tiles: u32, // channel tiles of a group
  channel_tiles: u32, // channel tiles of all groups
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

fn finish(value: f32) -> f32 {
  return select(value, 0.0, params.relu == 1u && value < 0.0);
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = (wid.y * grid.x + wid.x) * 8u + lane;
  if (tile >= params.tiles) {
    return;
  }
  let channel_tile = tile % params.channel_tiles;
  let group = channel_tile / params.group_tiles;
  let first = channel_tile % params.group_tiles * CHANNELS; // within the group
  let output = group * params.group_outputs + first;
  let column = tile / params.channel_tiles % params.column_tiles * COLUMNS;
  let row = tile / (params.channel_tiles * params.column_tiles) * ROWS;

  // Rows and columns above or left of the image wrap around to large numbers.
  var image_row: array<u32, ROWS>; // of x, first of the image
  var top: array<u32, ROWS>; // row of the first tap
  for (var r = 0u; r < ROWS; r++) { // @unroll
    image_row[r] = (row + r) / params.image_rows * params.height;
    top[r] = (row + r) % params.image_rows * params.stride_y + u32(params.origin_y);
  }
  let left = column * params.stride_x + u32(params.origin_x);
  let tap_quads = params.quads * params.weight_step_x;
  let output_quads = params.weight_height * params.weight_width * params.quads;

  // The four steps of one sum stand together below, so that it stays in a register meanwhile.
  var sum: array<f32, ROWS * COLUMNS * CHANNELS>;
  for (var ky = 0u; ky < params.taps_y; ky++) {
    var inside_y: array<bool, ROWS>;
    var start: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let iy = top[r] + ky * params.dilation_y;
      inside_y[r] = iy < params.height;
      start[r] = (image_row[r] + iy) * params.width * params.pixel_quads + group * params.quads;
    }
    for (var kx = 0u; kx < params.taps_x; kx += TAPS) {
      var inside_x: array<bool, WINDOW>;
      var place: array<u32, WINDOW>;
      for (var p = 0u; p < WINDOW; p++) { // @unroll
        let ix = left + kx * params.dilation_x + p * params.place;
        inside_x[p] = ix < params.width;
        place[p] = ix * params.pixel_quads;
      }
      let weight_row = params.weight_y + ky * params.weight_step_y;
      let weight_column = params.weight_x + kx * params.weight_step_x;
      let tap = ((output * params.weight_height + weight_row) * params.weight_width + weight_column) * params.quads;
      for (var q = params.quad_begin; q < params.quad_end; q++) {
        var a: array<vec4<f32>, ROWS * WINDOW>;
        for (var r = 0u; r < ROWS; r++) { // @unroll
          for (var p = 0u; p < WINDOW; p++) { // @unroll
            a[r * WINDOW + p] = select(vec4<f32>(), x[start[r] + place[p] + q], inside_y[r] && inside_x[p]);
          }
        }
        for (var j = 0u; j < CHANNELS; j++) { // @unroll
          for (var k = 0u; k < TAPS; k++) { // @unroll
            let b = weight[tap + j * output_quads + k * tap_quads + q];
            for (var r = 0u; r < ROWS; r++) { // @unroll
              for (var i = 0u; i < COLUMNS; i++) { // @unroll
                sum[(r * COLUMNS + i) * CHANNELS + j] = fma(a[r * WINDOW + i * PIXEL_STEP + k * TAP_STEP].y, b.y, fma(a[r * WINDOW + i * PIXEL_STEP + k * TAP_STEP].x, b.x, sum[(r * COLUMNS + i) * CHANNELS + j]));
                sum[(r * COLUMNS + i) * CHANNELS + j] = fma(a[r * WINDOW + i * PIXEL_STEP + k * TAP_STEP].w, b.w, fma(a[r * WINDOW + i * PIXEL_STEP + k * TAP_STEP].z, b.z, sum[(r * COLUMNS + i) * CHANNELS + j]));
              }
            }
          }
        }
      }
    }
  }

  var shift: array<f32, CHANNELS>;
  if (params.has_bias == 1u) {
    for (var j = 0u; j < CHANNELS; j++) { // @unroll
      shift[j] = bias[output + j];
    }
  }
  for (var r = 0u; r < ROWS; r++) { // @unroll
    let image = (row + r) / params.image_rows;
    let target_y = params.target_y + (row + r) % params.image_rows * params.target_step_y;
    for (var i = 0u; i < COLUMNS; i++) { // @unroll
      let target_x = params.target_x + (column + i) * params.target_step_x;
      let at = ((image * params.target_height + target_y) * params.target_width + target_x) * params.outputs + output;
      if (row + r < params.rows && column + i < params.columns) {
        if (WIDE == 1u) { // @static
          for (var j = 0u; j < QUADS; j++) { // @unroll
            if (first + j * 4u < params.group_outputs) {
              var value = vec4<f32>(
                sum[(r * COLUMNS + i) * CHANNELS + j * 4u] + shift[j * 4u],
                sum[(r * COLUMNS + i) * CHANNELS + j * 4u + 1u] + shift[j * 4u + 1u],
                sum[(r * COLUMNS + i) * CHANNELS + j * 4u + 2u] + shift[j * 4u + 2u],
                sum[(r * COLUMNS + i) * CHANNELS + j * 4u + 3u] + shift[j * 4u + 3u],
              );
              if (ACCUMULATE == 1u) { // @static
                value += y4[at / 4u + j];
              }
              y4[at / 4u + j] = vec4<f32>(finish(value.x), finish(value.y), finish(value.z), finish(value.w));
            }
          }
        }
        if (WIDE == 0u) { // @static
          for (var j = 0u; j < CHANNELS; j++) { // @unroll
            if (first + j < params.group_outputs) {
              var value = sum[(r * COLUMNS + i) * CHANNELS + j] + shift[j];
              if (ACCUMULATE == 1u) { // @static
                value += y1[at + j];
              }
              y1[at + j] = finish(value);
            }
          }
        }
      }
    }
  }
}
