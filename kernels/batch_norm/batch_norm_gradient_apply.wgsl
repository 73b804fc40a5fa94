// Gradient of batch normalisation with respect to its input, by a table of
// batch_norm_gradient_merge.wgsl, or FROZEN by the scales of batch_norm_fold.wgsl alone.
//
//   dX = scale * dY - (x - mean) * slope - shift;  FROZEN: dX = scale * dY
//
// With MASKED, dY counts only where y > 0: y is the output after a fused ReLU.
//
// Shapes: x (not read when FROZEN), dY, y, dX: f32[rows, columns], row-major; table: f32[4, block];
// all as groups, of four elements where rows * columns is a multiple of four, else of one. All counts
// are in groups. Blocks, chunks and invocations as in batch_norm_apply.wgsl.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.

alias Group = vec4<f32>; // @spec
const GROUPS: u32 = 1u; // @spec

override WORKGROUP: u32 = 8u;
override FROZEN: bool = false;
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
@group(0) @binding(3) var<storage, read> table: array<Group>;
@group(0) @binding(4) var<storage, read_write> d_x: array<Group>;
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
  let lanes = block / GROUPS;
  let place = at % lanes * GROUPS;
  let chunk = at / lanes * params.chunk;
  let end = min(params.count, chunk + params.chunk);
  var mean: array<Group, GROUPS>;
  var slope: array<Group, GROUPS>;
  var scale: array<Group, GROUPS>;
  var shift: array<Group, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    mean[g] = table[place + g];
    slope[g] = table[block + place + g];
    scale[g] = table[2u * block + place + g];
    shift[g] = table[3u * block + place + g];
  }
  for (var e = chunk + place; e < end; e += block) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      if (e + g < end) {
        var d = d_y[e + g];
        if (MASKED) {
          d = select(Group(0.0), d, y[e + g] > Group(0.0));
        }
        d *= scale[g];
        if (!FROZEN) {
          d -= (x[e + g] - mean[g]) * slope[g] + shift[g];
        }
        d_x[e + g] = d;
      }
    }
  }
}
