// The transpose of every matrix of a batch, through tiles in workgroup memory: reads and writes both
// run along contiguous elements.
//
//   y[n, c, r] = x[n, r, c]
//
// Shapes: x: f32[N, rows, columns]; y: f32[N, columns, rows].
// Dispatch: one workgroup per tile of 32 by 32, tiles of a matrix column by column, N matrices; the grid
// folds x into y. Rows of a tile are 33 long, so that its columns lie in different banks.

const TILE = 32u;
const PITCH = 33u;
const LINES = 8u; // rows of a tile that a workgroup takes at once

struct Params {
  batch: u32, // N
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> tile: array<f32, 1056>; // TILE * PITCH

@compute @workgroup_size(32, 8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let item = wid.y * grid.x + wid.x;
  let high = (params.rows + TILE - 1u) / TILE;
  let wide = (params.columns + TILE - 1u) / TILE;
  let n = item / (high * wide);
  let inside = n < params.batch;
  let top = item % high * TILE;
  let left = item / high % wide * TILE;
  for (var line = local.y; line < TILE; line += LINES) {
    let r = top + line;
    let c = left + local.x;
    if (inside && r < params.rows && c < params.columns) {
      tile[line * PITCH + local.x] = x[(n * params.rows + r) * params.columns + c];
    }
  }
  workgroupBarrier();
  for (var line = local.y; line < TILE; line += LINES) {
    let r = top + local.x;
    let c = left + line;
    if (inside && r < params.rows && c < params.columns) {
      y[(n * params.columns + c) * params.rows + r] = tile[local.x * PITCH + line];
    }
  }
}
