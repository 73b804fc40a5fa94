// Sums of the incoming gradient over rows, chunk by chunk: the first pass of the gradient of batch
// normalisation.
//
//   parts[0, p, c] = sum over the rows n of one chunk with n % phases = p % phases of dY[n, c]
//   parts[1, p, c] = likewise of dY[n, c] * (x[n, c] - o),  o = x[p % phases, c]
//
// With MASKED, dY counts only where y > 0: y is the output after a fused ReLU.
//
// Shapes: x, dY, y: f32[rows, columns], row-major; parts: f32[2, chunks * phases, columns]; all as
// groups, of four elements where rows * columns is a multiple of four, else of one. All counts are in
// groups. Blocks, chunks and invocations as in batch_norm_statistics.wgsl.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y. Accumulator: f32.

alias Group = vec4<f32>; // @spec
const GROUPS: u32 = 1u; // @spec

override WORKGROUP: u32 = 8u;
override MASKED: bool = false;

struct Params {
  count: u32,
  block: u32,
  chunk: u32,
  invocations: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Group>;
@group(0) @binding(1) var<storage, read> d_y: array<Group>;
@group(0) @binding(2) var<storage, read> y: array<Group>;
@group(0) @binding(3) var<storage, read_write> parts: array<Group>;
@group(1) @binding(0) var<uniform> params: Params;

fn gradient(e: u32) -> Group {
  if (MASKED) {
    return select(Group(0.0), d_y[e], y[e] > Group(0.0));
  }
  return d_y[e];
}

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
  let lanes = block / GROUPS;
  let place = at % lanes * GROUPS;
  let chunk = at / lanes * params.chunk;
  let end = min(params.count, chunk + params.chunk);
  var origin: array<Group, GROUPS>;
  var sum: array<Group, GROUPS>;
  var product: array<Group, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    origin[g] = x[place + g];
    sum[g] = Group(0.0);
    product[g] = Group(0.0);
  }
  var e = chunk + place;
  for (; e + 3u * block + GROUPS <= end; e += 4u * block) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      let a = gradient(e + g);
      let b = gradient(e + block + g);
      let c = gradient(e + 2u * block + g);
      let d = gradient(e + 3u * block + g);
      sum[g] += (a + b) + (c + d);
      product[g] += (a * (x[e + g] - origin[g]) + b * (x[e + block + g] - origin[g])) +
        (c * (x[e + 2u * block + g] - origin[g]) + d * (x[e + 3u * block + g] - origin[g]));
    }
  }
  for (; e < end; e += block) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      if (e + g < end) {
        let a = gradient(e + g);
        sum[g] += a;
        product[g] += a * (x[e + g] - origin[g]);
      }
    }
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    parts[at * GROUPS + g] = sum[g];
    parts[(params.invocations + at) * GROUPS + g] = product[g];
  }
}
