// Means of the rows of ragged lists, or the shares of their parts.
//
//   y[p, n, c] = sum over the rows r of part p of list n of x[r, c] / number of rows of list n
//
// An empty list gives 0. A list is cut into `parts` parts of equal length, the first ones a row longer
// where that does not go up; the parts of a list add up to its mean.
//
// Shapes: x: Elem[rows, columns], row-major; offsets: i32[lists + 1]; y: Elem[parts, lists, columns].
// Dispatch: gridFor(parts lists columns, COLUMNS); the grid folds x into y. LANES invocations share an
// element of y, each every LANES-th row: 1 is the serial variant, more the tree variant.
// Numerics: f32, in blocks of BLOCK rows. Loop turns of an invocation: about
// length / (4 parts LANES).

override COLUMNS: u32 = 8u; // elements of y per workgroup, neighbours
override LANES: u32 = 1u; // a power of two

alias Elem = vec4<f32>; // @spec

const BLOCK = 64u; // rows of a lane

struct Params {
  lists: u32,
  columns: u32, // in units of Elem
  parts: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<Elem, COLUMNS * LANES>;

@compute @workgroup_size(COLUMNS, LANES)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let item = (wid.y * grid.x + wid.x) * COLUMNS + local.x;
  let inside = item < params.parts * params.lists * params.columns;
  let part_list = select(0u, item / params.columns, inside);
  let column = select(0u, item - part_list * params.columns, inside);
  let part = part_list / params.lists;
  let list = part_list - part * params.lists;
  let first = u32(offsets[list]);
  let length = u32(offsets[list + 1u]) - first;
  // Whole parts of equal length, and the first ones a row more.
  let share = length / params.parts;
  let more = length - share * params.parts;
  let begin = first + part * share + min(part, more);
  let end = begin + share + select(0u, 1u, part < more);
  var sum = Elem(0.0);
  var r = begin + local.y;
  while (r < end) {
    let stop = min(end, r + BLOCK * LANES);
    var block = Elem(0.0);
    for (; r + 3u * LANES < stop; r += 4u * LANES) {
      let a = x[r * params.columns + column];
      let b = x[(r + LANES) * params.columns + column];
      let c = x[(r + 2u * LANES) * params.columns + column];
      let d = x[(r + 3u * LANES) * params.columns + column];
      block += (a + b) + (c + d);
    }
    for (; r < stop; r += LANES) {
      block += x[r * params.columns + column];
    }
    sum += block;
  }
  if (LANES > 1u) {
    let at = local.y * COLUMNS + local.x;
    shared_sums[at] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (local.y < stride) {
        sum += shared_sums[at + stride * COLUMNS];
        shared_sums[at] = sum;
      }
    }
  }
  if (inside && local.y == 0u) {
    y[item] = sum / f32(max(1u, length));
  }
}
