// The transpose of every matrix of a batch, four by four elements in the registers of each invocation:
// for software adapters, where workgroup memory gains nothing.
//
//   y[n, c, r] = x[n, r, c]
//
// Shapes: x: f32[N, rows, columns], bound as scalars and as vec4 (read where columns is a multiple of
// four); y: f32[N, columns, rows], bound as scalars or (where rows is a multiple of four) as vec4, the
// other one a spare.
// Dispatch: gridFor(N ceil(rows / 4) ceil(columns / 4), 64); the grid folds x into y. Neighbours write
// next to each other.

override READ_VECTOR: bool = true; // columns is a multiple of four
override WRITE_VECTOR: bool = true; // rows is a multiple of four

struct Params {
  batch: u32, // N
  rows: u32,
  columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

// Four elements of row r of all rows, from column c on; those beyond the matrix are any numbers.
fn load(r: u32, c: u32) -> vec4<f32> {
  let at = r * params.columns + c;
  if (READ_VECTOR) {
    return x4[at >> 2u];
  }
  let last = params.columns - 1u - c;
  return vec4<f32>(x[at], x[at + min(1u, last)], x[at + min(2u, last)], x[at + min(3u, last)]);
}

// Up to four elements of a row of y, from element `at` on.
fn store(at: u32, v: vec4<f32>, count: u32) {
  if (WRITE_VECTOR) {
    y4[at >> 2u] = v;
    return;
  }
  y[at] = v.x;
  if (count > 1u) {
    y[at + 1u] = v.y;
  }
  if (count > 2u) {
    y[at + 2u] = v.z;
  }
  if (count > 3u) {
    y[at + 3u] = v.w;
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  let high = (params.rows + 3u) / 4u;
  let wide = (params.columns + 3u) / 4u;
  if (item >= params.batch * high * wide) {
    return;
  }
  let r = item % high * 4u;
  let c = item / high % wide * 4u;
  let n = item / (high * wide);
  let row = n * params.rows + r;
  let last = params.rows - 1u - r;
  let a = load(row, c);
  let b = load(row + min(1u, last), c);
  let d = load(row + min(2u, last), c);
  let e = load(row + min(3u, last), c);
  let at = (n * params.columns + c) * params.rows + r;
  let count = last + 1u;
  store(at, vec4<f32>(a.x, b.x, d.x, e.x), count);
  if (c + 1u < params.columns) {
    store(at + params.rows, vec4<f32>(a.y, b.y, d.y, e.y), count);
  }
  if (c + 2u < params.columns) {
    store(at + 2u * params.rows, vec4<f32>(a.z, b.z, d.z, e.z), count);
  }
  if (c + 3u < params.columns) {
    store(at + 3u * params.rows, vec4<f32>(a.w, b.w, d.w, e.w), count);
  }
}
