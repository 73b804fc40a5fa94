// Gradient of the mean hinge of norms with respect to the rows.
//
//   d_x[r] = weight / count * x[r] / norms[r]  where mask[r] is not 0 and norms[r] > margin, else 0
//
// With ADD that is added to what d_x holds, and rows where it is 0 are not touched.
//
// Shapes: x, d_x: f32[rows, columns], row-major, as groups: of four elements where columns is a
// multiple of four, else of one; `groups` of them make a row. mask, norms: f32[rows]; count: f32[1].
// Dispatch: gridFor(rows * lanes, WORKGROUP); the grid folds x into y. `lanes` invocations share a
// row, each takes every lanes-th group. Rows that are not selected are not read.
// margin >= 0, so that a row of zeros has no gradient and nothing is divided by 0.

alias Group = vec4<f32>; // @spec

override WORKGROUP: u32 = 8u;
override ADD: bool = false;

struct Params {
  rows: u32,
  groups: u32,
  lanes: u32,
  margin: f32,
  weight: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Group>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read> count: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_x: array<Group>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.rows * params.lanes) {
    return;
  }
  let row = at / params.lanes;
  let lane = at % params.lanes;
  let start = row * params.groups;
  let norm = norms[row];
  if (mask[row] != 0.0 && norm > params.margin) {
    let factor = params.weight / (count[0] * norm);
    for (var j = lane; j < params.groups; j += params.lanes) {
      var d = factor * x[start + j];
      if (ADD) {
        d += d_x[start + j];
      }
      d_x[start + j] = d;
    }
  } else if (!ADD) {
    for (var j = lane; j < params.groups; j += params.lanes) {
      d_x[start + j] = Group(0.0);
    }
  }
}
