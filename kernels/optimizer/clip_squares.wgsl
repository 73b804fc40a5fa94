// Sums of squares of an array, chunk by chunk: the first pass of a gradient norm.
//
//   parts[i] = sum of x[e]^2 over the elements e that invocation i owns
//
// Shapes: x: f32[elements], bound twice (scalars and vec4, the same memory); parts: f32[invocations].
// A block is `block` elements; an invocation owns four neighbours in every block of one chunk.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.
// Accumulator: f32, four sums side by side.

override WORKGROUP: u32 = 8u;

struct Params {
  elements: u32,
  block: u32, // a multiple of four
  chunk: u32, // a multiple of `block`
  invocations: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.invocations) {
    return;
  }
  let block = params.block;
  let chunk = at / (block >> 2u) * params.chunk;
  let end = min(params.elements, chunk + params.chunk);
  var e = chunk + at % (block >> 2u) * 4u;
  var sum = vec4<f32>(0.0);
  for (; e + 3u * block + 4u <= end; e += 4u * block) {
    let q = e >> 2u;
    let step = block >> 2u;
    let a = x4[q];
    let b = x4[q + step];
    let c = x4[q + 2u * step];
    let d = x4[q + 3u * step];
    sum += (a * a + b * b) + (c * c + d * d);
  }
  for (; e < end; e += block) {
    if (e + 4u <= end) {
      let a = x4[e >> 2u];
      sum += a * a;
    } else {
      for (var i = e; i < end; i++) {
        sum.x += x[i] * x[i];
      }
    }
  }
  parts[at] = (sum.x + sum.y) + (sum.z + sum.w);
}
