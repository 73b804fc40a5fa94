// The mean hinge over selected rows: the second of two passes.
//
//   count = sum of parts[1],  loss = sum of parts[0] / count, 0 when nothing is selected
//
// Shapes: parts: f32[2, parts]; loss, count: f32[1].
// Dispatch: one workgroup, whose invocations add every WORKGROUP-th part and meet in a tree.
// Accumulator: f32; counts are exact below 2^24.

override WORKGROUP: u32 = 8u; // a power of two

struct Params {
  parts: u32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> count: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = vec2<f32>(0.0);
  for (var i = local; i < params.parts; i += WORKGROUP) {
    sum += vec2<f32>(parts[i], parts[params.parts + i]);
  }
  sums[local] = sum;
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (local < stride) {
      sum += sums[local + stride];
      sums[local] = sum;
    }
  }
  if (local == 0u) {
    loss[0] = sum.x / max(sum.y, 1.0);
    count[0] = sum.y;
  }
}
