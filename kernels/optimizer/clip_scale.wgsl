// The norm of all gradients, and what scales it down to a maximum: the second pass.
//
//   norm = sqrt(sum of parts);  scale = min(1, max_norm / (norm + 1e-6))
//
// Shapes: parts: f32[count]; scale, norm: f32[1].
// Dispatch: one workgroup, whose invocations add every WORKGROUP-th part and meet in a tree.
// Accumulator: f32. At most 60,000 parts for each invocation.
// Source: torch.nn.utils.clip_grad_norm_.

override WORKGROUP: u32 = 8u; // a power of two

struct Params {
  count: u32,
  max_norm: f32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var i = local; i < params.count; i += WORKGROUP) {
    sum += parts[i];
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
    let root = sqrt(sum);
    norm[0] = root;
    scale[0] = min(1.0, params.max_norm / (root + 1e-6));
  }
}
