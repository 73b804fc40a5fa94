// Multiplies and adds in registers only: the arithmetic roof of the benchmarks.
//
// Eight independent chains per invocation hide the latency of one fma and fit the sixteen vector
// registers of AVX2; a loop turn does 128 fma (256 floating-point operations).
//
// Dispatch: count / WORKGROUP workgroups. One value per invocation is written so that nothing can
// be left out.

override WORKGROUP: u32 = 64u;

struct Params {
  turns: u32,
  scale: f32,
  shift: f32,
}

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = vec4<f32>(params.scale);
  let b = vec4<f32>(params.shift);
  var x = vec4<f32>(f32(id.x), 1.0, 2.0, 3.0);
  var y = vec4<f32>(4.0, 5.0, 6.0, f32(id.x));
  for (var turn = 0u; turn < params.turns; turn++) {
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
    x = fma(x, a, b); y = fma(y, a, b); x = fma(x, a, b); y = fma(y, a, b);
  }
  let sum = x + y;
  result[id.x] = sum.x + sum.y + sum.z + sum.w;
}
