// A matrix product that is folded into one small state per row as it is made, with a register tile
// per invocation and no workgroup memory: the [rows, columns] matrix is never written.
//
//   s(i, j) = sum_k term(x[i, k], y[j, k]);  state(i) = fold over j of s(i, j)
//
// TERM: 0 product x * y; 1 squared difference (x - y)^2; 2 relative entropy x * (log x - y), where
//   y holds logarithms already.
// LOAD: 0 x as it is; 1 min(x, clip); 2 x - extra[k].
// STATE: 0 largest s (of -s for TERM 1 and 2) and the lowest j that has it; 1 maximum m of
//   z = (s + extra[j]) * scale and sum of exp(z - m); 2 sum of s^2.
//
// Shapes: x: vec4<f32>[rows, quads]; y: vec4<f32>[columns, quads], both padded with zeros along k;
//   extra: vec4<f32>, one value per column (LOAD 0, 1) or per k (LOAD 2), padded;
//   first: f32[segments, rows], second: u32[segments, rows], the states of each segment of columns.
// The columns are a first part and others of one size, any number of them; tiles begin where their
//   part begins, and a segment is some tiles of one part. Parts other than the first take no extra.
// Bindings: x, y, extra, first, second.
// Dispatch: gridFor(items, 8), folded from x into y; items = segments * row tiles.
// Accumulates in f32, in the order of k. Columns are visited in ascending order.
//
// See matmul/matmul_register.wgsl for why the tile is so large and the workgroup so small.

const TM: u32 = 16u; // @spec rows of a tile
const TN: u32 = 16u; // @spec columns of a tile, a multiple of 4
const TERM: u32 = 0u; // @spec
const LOAD: u32 = 0u; // @spec
const STATE: u32 = 0u; // @spec

const LOWEST: f32 = -3.4028234e38;

struct Params {
  rows: u32,
  columns: u32,
  quads: u32, // vec4 elements along k
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
  epsilon: f32, // least x whose logarithm is taken
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> extra: array<vec4<f32>>;
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
  let row = item % params.row_tiles * TM;
  let segment = item / params.row_tiles;
  let segment_columns = params.segment_tiles * TN;
  var column = segment * segment_columns;
  var column_end = params.first_columns;
  if (segment >= params.first_segments) {
    let other = segment - params.first_segments;
    let start = params.first_columns + other / params.part_segments * params.part_columns;
    column = start + other % params.part_segments * segment_columns;
    column_end = start + params.part_columns;
  }
  column_end = min(column + segment_columns, column_end);
  let quads = params.quads;
  let x_start = row * quads;

  var state: array<f32, TM>;
  var found: array<u32, TM>;
  var total: array<f32, TM>;
  for (var i = 0u; i < TM; i++) { // @unroll
    state[i] = LOWEST;
    found[i] = column;
    total[i] = 0.0;
  }
  var sum: array<f32, TM * TN>;
  var a: array<vec4<f32>, TM>;
  var log_a: array<vec4<f32>, TM>;
  for (; column < column_end; column += TN) {
    let y_start = column * quads;
    for (var i = 0u; i < TM; i++) { // @unroll
      for (var j = 0u; j < TN; j++) { // @unroll
        sum[i * TN + j] = 0.0;
      }
    }
    for (var q = 0u; q < quads; q++) {
      for (var i = 0u; i < TM; i++) { // @unroll
        a[i] = x[x_start + i * quads + q];
      }
      if (LOAD == 1u) { // @static
        for (var i = 0u; i < TM; i++) { // @unroll
          a[i] = min(a[i], vec4<f32>(params.clip));
        }
      }
      if (LOAD == 2u) { // @static
        let minus_centre = -extra[q];
        for (var i = 0u; i < TM; i++) { // @unroll
          a[i] = a[i] + minus_centre;
        }
      }
      if (TERM == 2u) { // @static
        for (var i = 0u; i < TM; i++) { // @unroll
          log_a[i] = log(max(a[i], vec4<f32>(params.epsilon)));
        }
      }
      for (var j = 0u; j < TN; j++) { // @unroll
        let b = y[y_start + j * quads + q];
        // Negated once here, not in each of the differences below.
        let minus_b = -b;
        if (TERM == 0u) { // @static
          for (var i = 0u; i < TM; i++) { // @unroll
            sum[i * TN + j] = fma(a[i].y, b.y, fma(a[i].x, b.x, sum[i * TN + j]));
            sum[i * TN + j] = fma(a[i].w, b.w, fma(a[i].z, b.z, sum[i * TN + j]));
          }
        }
        if (TERM == 1u) { // @static
          for (var i = 0u; i < TM; i++) { // @unroll
            let d = a[i] + minus_b;
            sum[i * TN + j] = fma(d.y, d.y, fma(d.x, d.x, sum[i * TN + j]));
            sum[i * TN + j] = fma(d.w, d.w, fma(d.z, d.z, sum[i * TN + j]));
          }
        }
        if (TERM == 2u) { // @static
          for (var i = 0u; i < TM; i++) { // @unroll
            let d = log_a[i] + minus_b;
            sum[i * TN + j] = fma(a[i].y, d.y, fma(a[i].x, d.x, sum[i * TN + j]));
            sum[i * TN + j] = fma(a[i].w, d.w, fma(a[i].z, d.z, sum[i * TN + j]));
          }
        }
      }
    }

    if (STATE == 0u) { // @static
      for (var j = 0u; j < TN; j++) { // @unroll
        if (column + j < column_end) {
          for (var i = 0u; i < TM; i++) { // @unroll
            if (TERM == 0u) { // @static
              let s = sum[i * TN + j];
              found[i] = select(found[i], column + j, s > state[i]);
              state[i] = max(state[i], s);
            }
            if (TERM != 0u) { // @static
              let s = -sum[i * TN + j];
              found[i] = select(found[i], column + j, s > state[i]);
              state[i] = max(state[i], s);
            }
          }
        }
      }
    }
    if (STATE == 1u) { // @static
      for (var j = 0u; j < TN; j++) { // @unroll
        let bias = extra[column / 4u + j / 4u][j % 4u];
        let shift = select(0.0, bias, params.has_bias == 1u);
        let valid = column + j < column_end;
        for (var i = 0u; i < TM; i++) { // @unroll
          sum[i * TN + j] = select(LOWEST, (sum[i * TN + j] + shift) * params.scale, valid);
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
    if (STATE == 2u) { // @static
      for (var j = 0u; j < TN; j++) { // @unroll
        if (column + j < column_end) {
          for (var i = 0u; i < TM; i++) { // @unroll
            total[i] = fma(sum[i * TN + j], sum[i * TN + j], total[i]);
          }
        }
      }
    }
  }

  for (var i = 0u; i < TM; i++) { // @unroll
    if (row + i < params.rows) {
      let at = segment * params.rows + row + i;
      if (STATE == 0u) { // @static
        first[at] = state[i];
        second[at] = found[i];
      }
      if (STATE == 1u) { // @static
        first[at] = state[i];
        second[at] = bitcast<u32>(total[i]);
      }
      if (STATE == 2u) { // @static
        first[at] = total[i];
        second[at] = 0u;
      }
    }
  }
}
