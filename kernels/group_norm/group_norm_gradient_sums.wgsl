// Sums of the incoming gradient over a part of each map's positions: the first pass of the gradient of
// group normalisation.
//
//   parts[0, n, p, c] = sum over the positions i of part p of d[n, i, c]
//   parts[1, n, p, c] = likewise of d[n, i, c] * h[n, i, c],  h = (x - mean) * inverse
//
// d = dY; with SILU d = dY s (1 + u (1 - s)), u = h * weight + bias, s = 1 / (1 + exp(-u)).
//
// Shapes: x, dY: Elem[N, positions, channels]; mean, inverse: f32[N, groups];
// weight, bias: Elem[channels] (not read without SILU); parts: Elem[2, N, slices * phases, channels].
// Slices, phases and what an invocation owns as in group_norm_statistics.wgsl.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y. Accumulator: f32.

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec
const OWNED: u32 = 1u; // @spec
const SILU: u32 = 0u; // @spec

override WORKGROUP: u32 = 8u;

struct Params {
  invocations: u32,
  channels: u32, // in units of Elem
  positions: u32,
  slices: u32,
  slice_rows: u32,
  phases: u32,
  groups: u32,
  group_width: u32, // channels of a group, one by one
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> d_y: array<Elem>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> inverse: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<Elem>;
@group(0) @binding(5) var<storage, read> bias: array<Elem>;
@group(0) @binding(6) var<storage, read_write> parts: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// Means of the groups, counted from `row` on, that an element's channels belong to.
fn mean_of(row: u32, c: u32) -> Elem {
  let k = c * WIDTH;
  if (WIDTH == 4u) { // @static
    return vec4<f32>(
      mean[row + k / params.group_width],
      mean[row + (k + 1u) / params.group_width],
      mean[row + (k + 2u) / params.group_width],
      mean[row + (k + 3u) / params.group_width],
    );
  }
  return Elem(mean[row + k / params.group_width]);
}

fn inverse_of(row: u32, c: u32) -> Elem {
  let k = c * WIDTH;
  if (WIDTH == 4u) { // @static
    return vec4<f32>(
      inverse[row + k / params.group_width],
      inverse[row + (k + 1u) / params.group_width],
      inverse[row + (k + 2u) / params.group_width],
      inverse[row + (k + 3u) / params.group_width],
    );
  }
  return Elem(inverse[row + k / params.group_width]);
}

// The gradient before the activation.
fn before(d: Elem, u: Elem) -> Elem {
  if (SILU == 1u) { // @static
    let s = 1.0 / (1.0 + exp(min(-u, Elem(87.0))));
    return d * (s + u * s * (1.0 - s));
  }
  return d;
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
  let channels = params.channels;
  let lanes = channels / OWNED;
  let place = at % lanes * OWNED;
  let part = at / lanes;
  let slice = part / params.phases;
  let n = slice / params.slices;
  let map = n * params.positions * channels + place;
  let first = slice % params.slices * params.slice_rows;
  let end = map + min(params.positions, first + params.slice_rows) * channels;
  let step = params.phases * channels;
  var centre: array<Elem, OWNED>;
  var spread: array<Elem, OWNED>;
  var scale: array<Elem, OWNED>;
  var shift: array<Elem, OWNED>;
  var sum: array<Elem, OWNED>;
  var product: array<Elem, OWNED>;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    centre[g] = mean_of(n * params.groups, place + g);
    spread[g] = inverse_of(n * params.groups, place + g);
    if (SILU == 1u) { // @static
      scale[g] = weight[place + g];
      shift[g] = bias[place + g];
    }
    sum[g] = Elem(0.0);
    product[g] = Elem(0.0);
  }
  for (var e = map + (first + part % params.phases) * channels; e < end; e += step) {
    for (var g = 0u; g < OWNED; g++) { // @unroll
      let h = (x[e + g] - centre[g]) * spread[g];
      let d = before(d_y[e + g], h * scale[g] + shift[g]);
      sum[g] += d;
      product[g] += d * h;
    }
  }
  let size = params.invocations * OWNED;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    parts[at * OWNED + g] = sum[g];
    parts[size + at * OWNED + g] = product[g];
  }
}
