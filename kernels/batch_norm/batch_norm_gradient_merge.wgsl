// Gradients of weight and bias of batch normalisation, and the table for that of its input: the
// second pass.
//
//   dBias = sum dY,  dWeight = inverse * sum dY (x - mean)
//   table = mean, slope, scale, shift: dX = scale * dY - (x - mean) * slope - shift
//   scale = weight * inverse,  slope = scale * inverse * dWeight / rows,  shift = scale * dBias / rows
//
// FROZEN, the statistics do not depend on x: slope = shift = 0, and `spread` is the variance.
//
// Shapes: x: f32[rows, columns]; parts: f32[2, parts, columns] of batch_norm_gradient_sums.wgsl;
// mean, spread (inverse or variance), weight, d_weight, d_bias: f32[columns];
// table: f32[4, phases, columns], the same for every phase.
// Dispatch: gridFor(columns, 8); the grid folds x into y. A workgroup owns eight columns, LANES
// invocations share a column and meet in a tree. Accumulator: f32, in a fixed order.

override WORKGROUP: u32 = 8u; // 8 * LANES
override LANES: u32 = 1u; // a power of two
override FROZEN: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  phases: u32,
  parts: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> spread: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_weight: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> table: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<vec2<f32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let column = (wid.y * grid.x + wid.x) * 8u + local % 8u;
  let lane = local / 8u;
  let inside = column < params.columns;
  let size = params.parts * params.columns;
  let centre = mean[select(0u, column, inside)];
  var sum = vec2<f32>(0.0); // of dY, and of dY (x - mean)
  let begin = select(params.parts, lane, inside && params.rows > 0u);
  for (var p = begin; p < params.parts; p += LANES) {
    let at = p * params.columns + column;
    // The first pass took x less its own first row, which some phase of few rows does not have.
    let row = min(p % params.phases, params.rows - 1u);
    let apart = x[row * params.columns + column] - centre;
    sum += vec2<f32>(parts[at], fma(parts[at], apart, parts[size + at]));
  }
  if (LANES > 1u) {
    sums[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += sums[local + 8u * stride];
        sums[local] = sum;
      }
    }
  }
  if (inside && lane == 0u) {
    var inverse = spread[column];
    if (FROZEN) {
      inverse = 1.0 / sqrt(inverse + params.epsilon);
    }
    let of_weight = inverse * sum.y;
    d_weight[column] = of_weight;
    d_bias[column] = sum.x;
    let scale = weight[column] * inverse;
    let share = select(scale / f32(params.rows), 0.0, FROZEN);
    let count = params.phases * params.columns;
    for (var at = column; at < count; at += params.columns) {
      table[at] = centre;
      table[count + at] = share * inverse * of_weight;
      table[2u * count + at] = scale;
      table[3u * count + at] = share * sum.x;
    }
  }
}
