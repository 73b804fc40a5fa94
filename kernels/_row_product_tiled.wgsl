// A matrix product that is folded into one small state per row as it is made, with tiles in
// workgroup memory, for GPUs: the [rows, columns] matrix is never written.
//
// What it computes, its shapes, bindings, parts and the meaning of TERM, LOAD and STATE are those of
// _row_product_register.wgsl.
// Dispatch: gridFor(items, 1), folded from x into y; items = segments * row tiles. A workgroup of
//   16 x 16 invocations owns 64 rows and goes through the columns of its segment, 64 at a time,
//   each invocation with a 4 x 4 register tile; at the end the 16 states of each row are merged
//   through workgroup memory, once.
// Accumulates in f32, in the order of k. Equal values give the lowest column.
//
// See matmul/matmul_tiled.wgsl for how tiles are fetched.

const TERM: u32 = 0u; // @spec
const LOAD: u32 = 0u; // @spec
const STATE: u32 = 0u; // @spec

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const BLOCK: u32 = SIDE * 4u;
const KQ: u32 = 4u;
const STRIDE: u32 = SIDE + 1u;

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

var<workgroup> x_tile: array<vec4<f32>, 4u * KQ * STRIDE>;
var<workgroup> y_tile: array<vec4<f32>, 4u * KQ * STRIDE>;
var<workgroup> merged: array<f32, BLOCK * SIDE>;
var<workgroup> winner: array<atomic<u32>, BLOCK>;

fn x_at(row: u32, quad: u32) -> vec4<f32> {
  if (row >= params.rows || quad >= params.quads) {
    return vec4<f32>();
  }
  let value = x[row * params.quads + quad];
  if (LOAD == 1u) {
    return min(value, vec4<f32>(params.clip));
  }
  if (LOAD == 2u) {
    return value - extra[quad];
  }
  return value;
}

fn y_at(column: u32, quad: u32) -> vec4<f32> {
  if (column >= params.columns || quad >= params.quads) {
    return vec4<f32>();
  }
  return y[column * params.quads + quad];
}

/// Adds the terms of one row and four columns for one k.
fn add(sum: vec4<f32>, a: f32, b: vec4<f32>) -> vec4<f32> {
  if (TERM == 1u) {
    let d = vec4<f32>(a) - b;
    return fma(d, d, sum);
  }
  if (TERM == 2u) {
    return fma(vec4<f32>(a), vec4<f32>(log(max(a, params.epsilon))) - b, sum);
  }
  return fma(vec4<f32>(a), b, sum);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last item: they do the last one again and store
  // nothing, so that every invocation reaches every barrier.
  let index = wid.y * grid.x + wid.x;
  let item = min(index, params.items - 1u);
  let first_row = item % params.row_tiles * BLOCK;
  let segment = item / params.row_tiles;
  let segment_columns = params.segment_tiles * BLOCK;
  var first_column = segment * segment_columns;
  var column_end = params.first_columns;
  if (segment >= params.first_segments) {
    let other = segment - params.first_segments;
    let start = params.first_columns + other / params.part_segments * params.part_columns;
    first_column = start + other % params.part_segments * segment_columns;
    column_end = start + params.part_columns;
  }
  column_end = min(first_column + segment_columns, column_end);
  let tx = lane % SIDE;
  let ty = lane / SIDE;
  let quads = params.quads;

  var state = vec4<f32>(LOWEST);
  var found = vec4<u32>(first_column);
  var total = vec4<f32>(0.0);
  var sum: array<vec4<f32>, 4>;
  for (; first_column < column_end; first_column += BLOCK) {
    for (var r = 0u; r < 4u; r++) { // @unroll
      sum[r] = vec4<f32>(0.0);
    }
    for (var step = 0u; step < quads; step += KQ) {
      for (var block = lane; block < SIDE * KQ; block += THREADS) {
        let q = block % KQ;
        let group = block / KQ;
        let row = first_row + group * 4u;
        let column = first_column + group * 4u;
        let a0 = x_at(row, step + q);
        let a1 = x_at(row + 1u, step + q);
        let a2 = x_at(row + 2u, step + q);
        let a3 = x_at(row + 3u, step + q);
        let b0 = y_at(column, step + q);
        let b1 = y_at(column + 1u, step + q);
        let b2 = y_at(column + 2u, step + q);
        let b3 = y_at(column + 3u, step + q);
        for (var e = 0u; e < 4u; e++) { // @unroll
          x_tile[(q * 4u + e) * STRIDE + group] = vec4<f32>(a0[e], a1[e], a2[e], a3[e]);
          y_tile[(q * 4u + e) * STRIDE + group] = vec4<f32>(b0[e], b1[e], b2[e], b3[e]);
        }
      }
      workgroupBarrier();
      for (var k = 0u; k < KQ * 4u; k += 4u) {
        for (var e = 0u; e < 4u; e++) { // @unroll
          let a = x_tile[(k + e) * STRIDE + ty];
          let b = y_tile[(k + e) * STRIDE + tx];
          for (var r = 0u; r < 4u; r++) { // @unroll
            sum[r] = add(sum[r], a[r], b);
          }
        }
      }
      // The next step overwrites what this one reads.
      workgroupBarrier();
    }

    for (var e = 0u; e < 4u; e++) { // @unroll
      let column = first_column + tx * 4u + e;
      if (column < column_end) {
        for (var r = 0u; r < 4u; r++) { // @unroll
          if (STATE == 0u) { // @static
            let s = select(-sum[r][e], sum[r][e], TERM == 0u);
            found[r] = select(found[r], column, s > state[r]);
            state[r] = max(state[r], s);
          }
          if (STATE == 1u) { // @static
            let shift = select(0.0, extra[column / 4u][e], params.has_bias == 1u);
            let z = (sum[r][e] + shift) * params.scale;
            let top = max(state[r], z);
            total[r] = total[r] * exp(state[r] - top) + exp(z - top);
            state[r] = top;
          }
          if (STATE == 2u) { // @static
            total[r] = fma(sum[r][e], sum[r][e], total[r]);
          }
        }
      }
    }
  }

  // Each row's 16 states: the top is found by every invocation of the row alike, then the winner or
  // the sum. Sums are taken in one order, so that runs agree to the bit.
  for (var r = 0u; r < 4u; r++) { // @unroll
    merged[(ty * 4u + r) * SIDE + tx] = state[r];
  }
  if (lane < BLOCK) {
    atomicStore(&winner[lane], 0xffffffffu);
  }
  workgroupBarrier();
  var top = vec4<f32>(LOWEST);
  for (var t = 0u; t < SIDE; t++) { // @unroll
    for (var r = 0u; r < 4u; r++) { // @unroll
      top[r] = max(top[r], merged[(ty * 4u + r) * SIDE + t]);
    }
  }
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) { // @unroll
    if (STATE == 0u) { // @static
      if (state[r] == top[r]) {
        atomicMin(&winner[ty * 4u + r], found[r]);
      }
    }
    if (STATE == 1u) { // @static
      merged[(ty * 4u + r) * SIDE + tx] = total[r] * exp(state[r] - top[r]);
    }
    if (STATE == 2u) { // @static
      merged[(ty * 4u + r) * SIDE + tx] = total[r];
    }
  }
  workgroupBarrier();
  for (var r = 0u; r < 4u; r++) { // @unroll
    let row = first_row + ty * 4u + r;
    if (tx == 0u && index < params.items && row < params.rows) {
      let at = segment * params.rows + row;
      var mass = 0.0;
      for (var t = 0u; t < SIDE; t++) { // @unroll
        mass += merged[(ty * 4u + r) * SIDE + t];
      }
      if (STATE == 0u) { // @static
        first[at] = top[r];
        second[at] = atomicLoad(&winner[ty * 4u + r]);
      }
      if (STATE == 1u) { // @static
        first[at] = top[r];
        second[at] = bitcast<u32>(mass);
      }
      if (STATE == 2u) { // @static
        first[at] = mass;
        second[at] = 0u;
      }
    }
  }
}
