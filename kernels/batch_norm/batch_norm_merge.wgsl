// Statistics of a batch from those of its parts: the second pass of batch normalisation.
//
//   mean[c], inverse[c] = 1 / sqrt(variance + epsilon), the variance biased (divided by the rows)
//   running = running + momentum * (new - running), the new variance unbiased (rows - 1)
//
// Shapes: x: f32[rows, columns]; parts: f32[2, parts, columns] of batch_norm_statistics.wgsl;
// centre, mean, inverse, running_mean, running_variance: f32[columns]. centre is mean - x[0].
// Dispatch: gridFor(columns, 8); the grid folds x into y. A workgroup owns eight columns, LANES
// invocations share a column and meet in a tree.
// Numerics: f32; parts are merged in a fixed order as in the first pass, by the rows that each has.

override WORKGROUP: u32 = 8u; // 8 * LANES
override LANES: u32 = 1u; // a power of two

struct Params {
  rows: u32,
  columns: u32,
  phases: u32,
  chunk_rows: u32,
  parts: u32,
  epsilon: f32,
  momentum: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> running_variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(6) var<storage, read_write> centre: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

// Of some rows: how many, their mean, and the sum of their squared deviations from it.
struct Moments {
  count: f32,
  mean: f32,
  deviations: f32,
}

var<workgroup> shared_moments: array<Moments, WORKGROUP>;

fn merge(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let share = b.count / max(count, 1.0);
  let step = b.mean - a.mean;
  return Moments(
    count,
    fma(step, share, a.mean),
    a.deviations + b.deviations + step * step * share * a.count,
  );
}

// Rows of a part: those of its chunk whose number has its phase.
fn rows_of(part: u32) -> u32 {
  let begin = part / params.phases * params.chunk_rows;
  let first = begin + part % params.phases;
  let end = min(params.rows, begin + params.chunk_rows);
  return select(0u, (end - first + params.phases - 1u) / params.phases, first < end);
}

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
  let origin = x[select(0u, column, inside)];
  var moments = Moments(0.0, 0.0, 0.0);
  for (var p = select(params.parts, lane, inside); p < params.parts; p += LANES) {
    let rows = rows_of(p);
    if (rows > 0u) {
      let at = p * params.columns + column;
      let apart = x[p % params.phases * params.columns + column] - origin;
      moments = merge(moments, Moments(f32(rows), parts[at] + apart, parts[size + at]));
    }
  }
  if (LANES > 1u) {
    shared_moments[local] = moments;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        moments = merge(moments, shared_moments[local + 8u * stride]);
        shared_moments[local] = moments;
      }
    }
  }
  if (inside && lane == 0u) {
    let rows = f32(params.rows);
    let whole = origin + moments.mean;
    centre[column] = moments.mean;
    mean[column] = whole;
    inverse[column] = 1.0 / sqrt(moments.deviations / rows + params.epsilon);
    let old_mean = running_mean[column];
    let old_variance = running_variance[column];
    running_mean[column] = old_mean + params.momentum * (whole - old_mean);
    running_variance[column] = old_variance +
      params.momentum * (moments.deviations / (rows - 1.0) - old_variance);
  }
}
