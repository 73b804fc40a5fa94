// The gradient of the first row of each list of ragged rows: zeros in all other rows, those behind the
// last list too.
//
//   dX[offsets[n]] = dY[n] for every list n that is not empty
//
// Shapes: dY: Elem[lists, columns], row-major; offsets: i32[lists + 1]; dX: Elem[rows, columns].
// Dispatch: gridFor(workers columns / GROUPS, WORKGROUP); the grid folds x into y. A worker, which is
// so many invocations as cover a row, writes every shares-th row of a list and every workers-th row of
// the padding; an invocation owns GROUPS neighbouring elements.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 4u; // @spec elements of an invocation, a divisor of columns

struct Params {
  rows: u32, // of dX
  columns: u32, // in units of Elem
  lists: u32,
  shares: u32, // workers of a list
  workers: u32, // max(1, lists) * shares
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let columns = params.columns;
  let lanes = columns / GROUPS;
  let worker = item / lanes;
  if (worker >= params.workers) {
    return;
  }
  let column = (item - worker * lanes) * GROUPS;
  let list = worker / params.shares;
  let share = worker - list * params.shares;
  if (list < params.lists) {
    let begin = u32(offsets[list]);
    let end = u32(offsets[list + 1u]);
    if (share == 0u && begin < end) {
      for (var g = 0u; g < GROUPS; g++) { // @unroll
        dX[begin * columns + column + g] = dY[list * columns + column + g];
      }
    }
    for (var row = begin + select(share, params.shares, share == 0u); row < end; row += params.shares) {
      for (var g = 0u; g < GROUPS; g++) { // @unroll
        dX[row * columns + column + g] = Elem(0.0);
      }
    }
  }
  for (var row = u32(offsets[params.lists]) + worker; row < params.rows; row += params.workers) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      dX[row * columns + column + g] = Elem(0.0);
    }
  }
}
