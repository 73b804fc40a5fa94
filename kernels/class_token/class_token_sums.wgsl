// Sums over the lists of ragged rows of what stands at one place of each: the gradients of a row that
// was put before each list, and of the rows that were added place by place.
//
//   sums[s, p] = sum over the lists n of slice s with more than p rows of dY[offsets[n] + n + p]
//   firsts[s] = sums[s, 0]
//
// Shapes: dY: Elem[rows, columns], row-major; offsets: i32[lists + 1], without the rows put before,
// so that a list has offsets[n + 1] - offsets[n] + 1 rows; sums: Elem[slices, positions, columns];
// firsts: Elem[slices, columns].
// Dispatch: gridFor(slices positions columns, WORKGROUP), an invocation for each element; the grid
// folds x into y.
// Accumulator: f32, the lists of a slice in their order.

override WORKGROUP: u32 = 64u;

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32, // slices * positions * columns
  columns: u32, // in units of Elem
  positions: u32,
  lists: u32,
  slice: u32, // lists of a slice
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> sums: array<Elem>;
@group(0) @binding(3) var<storage, read_write> firsts: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  if (item >= params.items) {
    return;
  }
  let part = item / params.columns;
  let column = item - part * params.columns;
  let slice = part / params.positions;
  let place = part - slice * params.positions;
  let end = min(params.lists, (slice + 1u) * params.slice);
  var sum = Elem(0.0);
  var begin = u32(offsets[slice * params.slice]);
  for (var n = slice * params.slice; n < end; n++) {
    let next = u32(offsets[n + 1u]);
    if (begin + place <= next) {
      sum += dY[(begin + n + place) * params.columns + column];
    }
    begin = next;
  }
  sums[item] = sum;
  if (place == 0u) {
    firsts[slice * params.columns + column] = sum;
  }
}
