// One step of exclusive prefix sums by doubling: the baseline.
//
//   y[i] = s[i] + s[i - stride] where i >= stride, else s[i]
//
// with s[i] = x[i - 1], s[0] = 0 in the FIRST step, and s = x in the others. Steps with strides 1, 2,
// 4 ... below length give the sums.
//
// Shapes: x: i32[length - 1] in the first step, else i32[length]; y: i32[length].
// Dispatch: gridFor(length, 64); the grid folds x into y.

override FIRST: bool = false;

struct Params {
  length: u32,
  stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

fn term(i: u32) -> i32 {
  if (!FIRST) {
    return x[i];
  }
  if (i == 0u) {
    return 0;
  }
  return x[i - 1u];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (wid.y * grid.x + wid.x) * 64u + local;
  if (i >= params.length) {
    return;
  }
  var sum = term(i);
  if (i >= params.stride) {
    sum += term(i - params.stride);
  }
  y[i] = sum;
}
