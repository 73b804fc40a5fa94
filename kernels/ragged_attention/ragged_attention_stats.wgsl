// What the gradient of attention over ragged lists needs of each row and head.
//
//   stats[row, head] = (logSumExp[row, head] / log 2, sum_c dY[row, head d + c] y[row, head d + c])
//
// Padding rows get zeros.
//
// Shapes: offsets: i32[lists + 1], ascending; y, dY: vec4<f32>[rows, heads, quads], padded with zeros
//   along d; logSumExp: f32[rows, heads]; stats: vec2<f32>[rows, heads]. Row-major.
// Dispatch: gridFor(rows * heads, WORKGROUP); the grid folds x into y.
// Numerics: f32, in the order of c.

override WORKGROUP: u32 = 8u;

const LOG2_E: f32 = 1.4426950408889634;

struct Params {
  lists: u32,
  rows: u32,
  heads: u32,
  quads: u32, // vec4 of a head
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dY: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> log_sum_exp: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  let row = index / params.heads;
  if (row >= params.rows) {
    return;
  }
  if (row >= u32(offsets[params.lists])) {
    stats[index] = vec2<f32>(0.0);
    return;
  }
  let start = index * params.quads;
  var share = 0.0;
  for (var c = 0u; c < params.quads; c++) {
    let a = dY[start + c];
    let b = y[start + c];
    share = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, share))));
  }
  stats[index] = vec2<f32>(log_sum_exp[index] * LOG2_E, share);
}
