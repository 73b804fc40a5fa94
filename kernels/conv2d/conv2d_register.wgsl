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
// Accumulates in f32, in the order of ky, kx, c; adds to y when ACCUMULATE is 1. The tile's size does
//   not change a bit of the result.
//
// Made for adapters that compute on the CPU, where a load costs as much as 11 to 25 fma whatever
// memory it comes from, and a workgroup of 8 is one AVX vector: only fma per load counts. Rows,
// columns and channels beyond the output load what robust access gives and are not stored.

const ROWS: u32 = 4u; // @spec rows of a tile
const COLUMNS: u32 = 4u; // @spec columns of a tile
const CHANNELS: u32 = 16u; // @spec output channels of a tile, a multiple of 4
const PIXELS: u32 = 16u; // @spec ROWS * COLUMNS
const QUADS: u32 = 4u; // @spec CHANNELS / 4
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
  let output_quads = params.weight_height * params.weight_width * params.quads;

  // The four steps of one sum stand together below, so that it stays in a register meanwhile.
  var sum: array<f32, PIXELS * CHANNELS>;
  for (var ky = 0u; ky < params.taps_y; ky++) {
    var inside_y: array<bool, ROWS>;
    var start: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let iy = top[r] + ky * params.dilation_y;
      inside_y[r] = iy < params.height;
      start[r] = (image_row[r] + iy) * params.width * params.pixel_quads + group * params.quads;
    }
    for (var kx = 0u; kx < params.taps_x; kx++) {
      var inside_x: array<bool, COLUMNS>;
      var place: array<u32, COLUMNS>;
      for (var i = 0u; i < COLUMNS; i++) { // @unroll
        let ix = left + kx * params.dilation_x + i * params.stride_x;
        inside_x[i] = ix < params.width;
        place[i] = ix * params.pixel_quads;
      }
      let weight_row = params.weight_y + ky * params.weight_step_y;
      let weight_column = params.weight_x + kx * params.weight_step_x;
      let tap = ((output * params.weight_height + weight_row) * params.weight_width + weight_column) * params.quads;
      for (var q = params.quad_begin; q < params.quad_end; q++) {
        var a: array<vec4<f32>, PIXELS>;
        for (var r = 0u; r < ROWS; r++) { // @unroll
          for (var i = 0u; i < COLUMNS; i++) { // @unroll
            a[r * COLUMNS + i] = select(vec4<f32>(), x[start[r] + place[i] + q], inside_y[r] && inside_x[i]);
          }
        }
        for (var j = 0u; j < CHANNELS; j++) { // @unroll
          let b = weight[tap + j * output_quads + q];
          for (var p = 0u; p < PIXELS; p++) { // @unroll
            sum[p * CHANNELS + j] = fma(a[p].y, b.y, fma(a[p].x, b.x, sum[p * CHANNELS + j]));
            sum[p * CHANNELS + j] = fma(a[p].w, b.w, fma(a[p].z, b.z, sum[p * CHANNELS + j]));
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
