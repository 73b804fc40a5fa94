// A product of operands in panels that is folded into one small state per row as it is made, with a
// register tile per invocation and no workgroup memory: the [rows, columns] matrix is never written.
//
//   s(i, j) = sum_k x[i, k] * y[j, k];  state(i) = fold over j of s(i, j)
//
// STATE: 0 largest s and the lowest j that has it; 1 maximum m of z = (s + extra[j]) * scale and sum
//   of exp(z - m).
//
// Shapes: x: f32[row tiles, k, TM] and y: f32[column tiles, k, TN], as _panel_pack.wgsl writes them,
//   both read in vec4, k = 4 * quads; extra: f32[columns], read when has_bias is 1;
//   first: f32[segments, rows], second: u32[segments, rows], the states of each segment of columns.
// Parts are those of _row_product_register.wgsl; the tiles of y follow each other part by part.
// Bindings: x, y, extra, first, second. Without a bias any buffer may stand for extra.
// Dispatch: gridFor(items, 8), folded from x into y; items = segments * row tiles.
// Accumulates in f32, in the order of k. Columns are visited in ascending order.
//
// See matmul/matmul_panels.wgsl for why panels, and why a tile has so many sums.

const TM: u32 = 24u; // @spec rows of a tile, a multiple of 4
const TN: u32 = 20u; // @spec columns of a tile, a multiple of 4
const ROW_QUADS: u32 = 6u; // @spec TM / 4
const COLUMN_QUADS: u32 = 5u; // @spec TN / 4
const FOUR: u32 = 4u;
const STATE: u32 = 1u; // @spec

const LOWEST: f32 = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32,
  quads: u32, // vec4 elements along k, of which a panel has 4 times as many
  row_tiles: u32,
  first_columns: u32, // columns of the first part
  part_columns: u32, // columns of each other part
  first_segments: u32, // segments of the first part
  part_segments: u32, // segments of each other part
  segment_tiles: u32, // column tiles of one segment
  items: u32,
  has_bias: u32, // whether extra holds a bias per column
  clip: f32,
  scale: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> extra: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
@group(0) @binding(4) var<storage, read_write> second: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 8u + lane;
  if (item >= params.items) {
    return;
  }
  let row_tile = item % params.row_tiles;
  let segment = item / params.row_tiles;
  var column = segment * params.segment_tiles * TN;
  var column_end = params.first_columns;
  var panel = segment * params.segment_tiles;
  if (segment >= params.first_segments) {
    let other = segment - params.first_segments;
    let part = other / params.part_segments;
    let start = params.first_columns + part * params.part_columns;
    let tiles = (params.part_columns + TN - 1u) / TN;
    panel = other % params.part_segments * params.segment_tiles;
    column = start + panel * TN;
    column_end = start + params.part_columns;
    panel += (params.first_columns + TN - 1u) / TN + part * tiles;
  }
  let last = min(column + params.segment_tiles * TN, column_end);
  let k_end = params.quads * 4u;
  let has_bias = params.has_bias == 1u;
  let scale = params.scale;
  let x_start = row_tile * k_end * ROW_QUADS;
  var y_at = panel * k_end * COLUMN_QUADS;

  var state: array<f32, TM>;
  var found: array<u32, TM>;
  var total: array<f32, TM>;
  for (var i = 0u; i < TM; i++) { // @unroll
    state[i] = LOWEST;
    found[i] = column;
    total[i] = 0.0;
  }
  var sum: array<f32, TM * TN>;
  while (column < last) {
    for (var i = 0u; i < TM; i++) { // @unroll
      for (var j = 0u; j < TN; j++) { // @unroll
        sum[i * TN + j] = 0.0;
      }
    }
    var x_at = x_start;
    for (var k = 0u; k < k_end; k++) {
      var b: array<vec4<f32>, COLUMN_QUADS>;
      for (var j = 0u; j < COLUMN_QUADS; j++) { // @unroll
        b[j] = y[y_at + j];
      }
      for (var i = 0u; i < ROW_QUADS; i++) { // @unroll
        let a = x[x_at + i];
        for (var l = 0u; l < FOUR; l++) { // @unroll
          for (var j = 0u; j < TN; j++) { // @unroll
            sum[(i * 4u + l) * TN + j] = fma(a[l], b[j / 4u][j % 4u], sum[(i * 4u + l) * TN + j]);
          }
        }
      }
      x_at += ROW_QUADS;
      y_at += COLUMN_QUADS;
    }

    if (STATE == 0u) { // @static
      for (var j = 0u; j < TN; j++) { // @unroll
        if (column + j < last) {
          for (var i = 0u; i < TM; i++) { // @unroll
            found[i] = select(found[i], column + j, sum[i * TN + j] > state[i]);
            state[i] = max(state[i], sum[i * TN + j]);
          }
        }
      }
    }
    if (STATE == 1u) { // @static
      for (var j = 0u; j < TN; j++) { // @unroll
        var shift = 0.0;
        if (has_bias) {
          shift = extra[column + j];
        }
        let valid = column + j < last;
        for (var i = 0u; i < TM; i++) { // @unroll
          sum[i * TN + j] = select(LOWEST, (sum[i * TN + j] + shift) * scale, valid);
        }
      }
      for (var i = 0u; i < TM; i++) { // @unroll
        var top = state[i];
        for (var j = 0u; j < TN; j++) { // @unroll
          top = max(top, sum[i * TN + j]);
        }
        var mass = total[i] * exp(state[i] - top);
        for (var j = 0u; j < TN; j++) { // @unroll
          mass += exp(sum[i * TN + j] - top);
        }
        state[i] = top;
        total[i] = mass;
      }
    }
    column += TN;
  }

  let row = row_tile * TM;
  for (var i = 0u; i < TM; i++) { // @unroll
    if (row + i < params.rows) {
      let at = segment * params.rows + row + i;
      first[at] = state[i];
      if (STATE == 0u) { // @static
        second[at] = found[i];
      }
      if (STATE == 1u) { // @static
        second[at] = bitcast<u32>(total[i]);
      }
    }
  }
}
