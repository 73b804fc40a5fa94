/**
 * The report's style sheet and its script, which only adds sorting and highlighting: the page is
 * complete without it.
 *
 * @module
 */

/** The style sheet. Colours are variables so that dark mode and print change nothing else. */
export const STYLE: string = `
:root{color-scheme:light dark;
--paper:#fbfaf6;--card:#fff;--ink:#1c2024;--soft:#5a636b;--faint:#6b737b;--line:#e3e0d8;--hair:#eeebe4;
--accent:#0b5e63;--heat:#0b7a75;--id:#0072b2;--ood:#d55e00;--warn:#8a5a00;--warnbg:#fff6dd;
--m0:#0072b2;--m1:#d55e00;--m2:#00875f;--m3:#a23b93;--m4:#a67c00;--m5:#4531a8;--m6:#c8516a;--m7:#1b9ab8;--m8:#6b6b00;--m9:#5c646c;
--sans:Inter,ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif;
--serif:"Source Serif 4","Iowan Old Style","Palatino Linotype",Palatino,"URW Palladio L",P052,Charter,"Bitstream Charter",Georgia,"Noto Serif",serif;
--mono:ui-monospace,"SF Mono","JetBrains Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{
--paper:#121517;--card:#191d20;--ink:#e9ebec;--soft:#a7b0b7;--faint:#8f99a1;--line:#2c3236;--hair:#23282c;
--accent:#6fd0c9;--heat:#2aa79f;--id:#4da8e8;--ood:#ff8a4c;--warn:#f0c66a;--warnbg:#2b2412;
--m0:#4da8e8;--m1:#ff8a4c;--m2:#2fcb9e;--m3:#dd8fd6;--m4:#e5b93c;--m5:#9d8cff;--m6:#ff93a5;--m7:#6fd6ec;--m8:#c2c25a;--m9:#b4bcc3}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:400 15px/1.55 var(--sans);font-feature-settings:"ss01","cv05"}
main,header,footer{max-width:1160px;margin:0 auto;padding:0 32px}
header{padding-top:64px}
.eyebrow{margin:0 0 14px;font-size:12px;font-weight:600;letter-spacing:.13em;text-transform:uppercase;color:var(--accent)}
h1{margin:0;font:500 clamp(30px,4.6vw,46px)/1.1 var(--serif);letter-spacing:-.012em;text-wrap:balance;overflow-wrap:anywhere}
.lede{margin:16px 0 0;max-width:62ch;font-size:17px;color:var(--soft)}
.key{display:grid;grid-template-columns:minmax(220px,1.5fr) repeat(auto-fit,minmax(150px,1fr));margin:44px 0 0;padding:0;border-top:2px solid var(--ink);border-bottom:1px solid var(--line)}
.key>div{padding:18px 24px 20px 0}
.key>div+div{padding-left:24px;border-left:1px solid var(--line)}
.key dt{font-size:12.5px;color:var(--soft)}
.key dd{margin:4px 0 0;font:500 32px/1.15 var(--serif);font-variant-numeric:tabular-nums lining-nums;overflow-wrap:anywhere}
.key small{display:block;margin-top:4px;font:400 12.5px/1.4 var(--sans);color:var(--faint)}
nav{margin:26px 0 0;display:flex;flex-wrap:wrap;gap:6px 22px;font-size:13.5px}
nav a{color:var(--soft);text-decoration:none;border-bottom:1px solid transparent}
nav a:hover,nav a:focus-visible{color:var(--accent);border-color:currentColor}
section{margin-top:72px}
h2{margin:0;font:500 27px/1.2 var(--serif);letter-spacing:-.005em}
h3{margin:0 0 6px;font-size:14px;font-weight:600;overflow-wrap:anywhere}
h3 small{font-weight:400;color:var(--faint);margin-left:6px}
.about{margin:8px 0 24px;max-width:70ch;color:var(--soft)}
.warnings{margin:32px 0 0;padding:14px 18px 14px 36px;border-radius:8px;background:var(--warnbg);color:var(--warn);font-size:14px}
.warnings li+li{margin-top:4px}
.scroll{overflow-x:auto;margin:0 -32px;padding:0 32px 6px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums lining-nums;min-width:100%}
th{font-weight:500;font-size:12.5px;color:var(--soft);text-align:right;vertical-align:bottom;padding:6px 12px;white-space:nowrap}
thead tr:last-child th{border-bottom:1.5px solid var(--ink)}
th.group{text-align:left;color:var(--ink);font-size:13.5px;font-weight:600;padding-bottom:2px}
th.group small{display:block;font-weight:400;color:var(--faint);font-size:12px}
th:first-child,td:first-child{position:sticky;left:0;background:var(--paper);z-index:1}
tbody th{color:var(--ink);font-size:14.5px;font-weight:500;text-align:left;vertical-align:middle;padding:8px 20px 8px 0;border-bottom:1px solid var(--hair);max-width:240px;overflow:hidden;text-overflow:ellipsis}
thead th:first-child{text-align:left;padding-left:0}
td{padding:8px 12px;text-align:right;border-bottom:1px solid var(--hair);white-space:nowrap;font-size:14.5px;line-height:1.25}
td small{display:block;font-size:11px;color:var(--faint);font-weight:400}
td.first,th.first{border-left:1px solid var(--line)}
td.heat{background:color-mix(in oklab,var(--heat) var(--t),transparent)}
td.heat small{color:var(--soft)}
thead th small{display:block;font-size:11px;color:var(--faint);font-weight:400}
td.best b{font-weight:700;color:var(--accent)}
td.best b::before{content:"";display:inline-block;width:5px;height:5px;border-radius:50%;background:currentColor;margin-right:6px;vertical-align:.16em}
td.text{text-align:left;white-space:normal;font-size:13.5px;color:var(--soft);min-width:180px}
tbody tr:hover td,tbody tr:hover th{background-image:linear-gradient(color-mix(in oklab,var(--ink) 4%,transparent),color-mix(in oklab,var(--ink) 4%,transparent))}
td b{font-weight:500}
th[aria-sort]{cursor:pointer}
th[aria-sort]:hover,th[aria-sort]:focus-visible{color:var(--accent)}
thead tr:last-child th{vertical-align:top}
th[aria-sort]:not(:first-child){position:relative}
th[aria-sort]::after{content:"";position:absolute;right:1px;top:8px;font-size:8px}
th[aria-sort=ascending]::after{content:"▲"}
th[aria-sort=descending]::after{content:"▼"}
.swatch{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:9px;background:var(--c)}
.grid3{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(310px,100%),1fr));gap:30px 34px}
figure{margin:0;break-inside:avoid}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-family:var(--sans);fill:var(--soft);font-variant-numeric:tabular-nums}
.tick{font-size:10.5px;fill:var(--faint)}
.axis{font-size:11px}
.tick.mark{fill:var(--ink);font-weight:600}
svg .label{font-size:12px;fill:var(--ink)}svg .value{font-size:12px;fill:var(--ink)}
.strong .label,.strong .value{font-weight:700}
path.grid{stroke:var(--hair);stroke-width:1;fill:none}
.chance{stroke:var(--line);stroke-width:1;stroke-dasharray:2 3;fill:none}
.level{stroke:var(--faint);stroke-width:1;stroke-dasharray:5 3;fill:none}
.roc{fill:none;stroke:var(--c);stroke-width:1.35;stroke-linejoin:round;opacity:.85}
.strong .roc{stroke-width:2.6;opacity:1}
.d1{stroke-dasharray:6 3}.d2{stroke-dasharray:2 2.5}
.series circle{fill:var(--c);stroke:var(--paper);stroke-width:1.2}
.whisker{stroke:var(--c);stroke-width:2.5;stroke-linecap:round;opacity:.5;fill:none}
.series{transition:opacity .12s}
.focus .series{opacity:.13}.focus .series.on{opacity:1}.focus .on .roc{stroke-width:2.6;opacity:1}
.legend{display:flex;flex-wrap:wrap;gap:8px 8px;margin:0 0 22px;padding:0;list-style:none;font-size:13px}
.legend li{display:inline-flex;align-items:center;padding:3px 11px 3px 9px;border:1px solid var(--line);border-radius:99px;background:var(--card)}
.legend li[tabindex]{cursor:pointer}
.legend li[aria-pressed=true]{border-color:var(--c);box-shadow:0 0 0 1px var(--c)}
.legend.plain li{border:0;background:none;padding:0 14px 0 0}
.hist{display:grid;grid-template-columns:minmax(96px,.5fr) repeat(var(--n),minmax(190px,1fr));gap:14px 26px;align-items:center;min-width:calc(110px + var(--n)*210px)}
.hist .head{font-size:13.5px;font-weight:600;border-bottom:1.5px solid var(--ink);padding-bottom:6px;align-self:end;overflow-wrap:anywhere}
.hist .name{font-size:14px;font-weight:500;overflow-wrap:anywhere}
.hist .name small{display:block;font-size:11.5px;color:var(--faint);font-weight:400}
.base{stroke:var(--line);fill:none}
svg .id{fill:var(--id);fill-opacity:.5;stroke:var(--id);stroke-width:.9}
svg .ood{fill:var(--ood);fill-opacity:.42;stroke:var(--ood);stroke-width:.9}
.threshold{stroke:var(--ink);stroke-width:1.1;stroke-dasharray:3 2.5;fill:none}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:36px 44px}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:18px 14px;margin:12px 0 0;padding:0;list-style:none}
.photos img{display:block;width:100%;aspect-ratio:1;object-fit:cover;border-radius:6px;background:var(--hair)}
.photos p{margin:6px 0 0;font-size:12px;line-height:1.35;color:var(--soft);overflow-wrap:anywhere}
.photos b{display:block;font-weight:500;color:var(--ink);white-space:nowrap;text-overflow:ellipsis;overflow:hidden}
.photos span{display:block;white-space:nowrap;text-overflow:ellipsis;overflow:hidden;font-variant-numeric:tabular-nums}
.names{margin:12px 0 0;padding:0;list-style:none}
.names li{display:flex;justify-content:space-between;gap:18px;padding:6px 0;border-bottom:1px solid var(--hair);font-size:13.5px}
.names li span:first-child{overflow-wrap:anywhere}
.names li span:last-child{color:var(--soft);white-space:nowrap;font-variant-numeric:tabular-nums}
code,.mono{font-family:var(--mono);font-size:12.5px}
.params code{display:inline-block;margin:1px 6px 1px 0;padding:1px 7px;border-radius:4px;background:var(--hair);color:var(--ink)}
dl.read{display:grid;grid-template-columns:minmax(130px,max-content) 1fr;gap:12px 28px;margin:18px 0 0;max-width:84ch}
dl.read dt{font-weight:600}dl.read dd{margin:0;color:var(--soft)}
details{margin-top:26px;border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
details+details{margin-top:-1px;border-top:0}
summary{padding:13px 0;cursor:pointer;font-weight:600;font-size:14px}
summary:hover{color:var(--accent)}
pre{margin:0 0 18px;padding:16px 18px;border-radius:8px;background:var(--card);border:1px solid var(--hair);overflow:auto;font:12.5px/1.55 var(--mono);max-height:460px;white-space:pre-wrap;overflow-wrap:anywhere}
td.up b{color:var(--heat)}td.down b{color:var(--ood)}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:22px 30px;margin:14px 0 34px}
.maps figure>div{display:grid;grid-template-columns:repeat(3,1fr);gap:6px}
.sheet{margin:0}.sheet img{display:block;width:100%;image-rendering:pixelated;border-radius:6px;background:var(--hair)}
.maps img,.maps svg{width:100%;aspect-ratio:1;border-radius:5px;display:block;image-rendering:pixelated;background:var(--hair)}
.maps figcaption{margin-top:6px;font-size:12px;color:var(--soft);overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.curve{fill:none;stroke:var(--c);stroke-width:2}
.strong .curve{stroke-width:3.2}
.leader{fill:none;stroke:var(--c);stroke-width:1;opacity:.45}
.frame{fill:var(--card);stroke:var(--line)}
.dots{fill:none;stroke:var(--c);stroke-width:5.4;stroke-linecap:round;stroke-opacity:.72}
.marks{fill:var(--c);fill-opacity:.78;stroke:none}
.cross{fill:none;stroke:var(--c);stroke-width:1.2;stroke-opacity:.75}
svg.glyph{flex:none;width:12px;height:12px;margin-right:8px}
table.choices{min-width:min(100%,640px)}
td.tickmark,th.tickmark{text-align:center}
td.tickmark{color:var(--accent)}
footer{margin-top:80px;padding-top:20px;padding-bottom:56px;color:var(--faint);font-size:13px}
:focus-visible{outline:2px solid var(--accent);outline-offset:3px;border-radius:3px}
@media (max-width:640px){main,header,footer{padding-left:18px;padding-right:18px}header{padding-top:36px}section{margin-top:54px}
.scroll{margin:0 -18px;padding:0 18px 6px}.key{grid-template-columns:1fr 1fr;margin-top:30px}.key>div{padding:14px 14px 14px 0;border-top:1px solid var(--line)}.key>div:first-child{grid-column:1/-1;border-top:0}.key>div+div{padding-left:14px}.key>div:nth-child(even){padding-left:0;border-left:0}.key dd{font-size:24px}
tbody th{padding-right:12px;max-width:128px;font-size:13.5px}td,th{padding-left:9px;padding-right:9px}
dl.read{grid-template-columns:1fr;gap:2px}dl.read dd{margin-bottom:12px}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}.series{transition:none}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--faint:#666;--line:#ccc;--hair:#e6e6e6;--accent:#0b5e63;--heat:#0b7a75;--id:#0072b2;--ood:#d55e00;--warn:#5a3a00;--warnbg:#fff;
--m0:#0072b2;--m1:#d55e00;--m2:#00875f;--m3:#a23b93;--m4:#a67c00;--m5:#4531a8;--m6:#c8516a;--m7:#1b9ab8;--m8:#6b6b00;--m9:#5c646c}
body{font-size:11pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}nav{display:none}header{padding-top:0}main,header,footer{max-width:none;padding:0}.scroll{overflow:visible;margin:0;padding:0}section{margin-top:32pt}pre{max-height:none;overflow:visible}h2,.about{break-after:avoid}tr,.hist>*{break-inside:avoid}}
`;

/** The script: tables sort by their headings, and a method can be picked out of every plot. */
export const SCRIPT: string = `
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.querySelectorAll("th[data-column]")];
  for (const head of heads) {
    head.tabIndex = 0;
    head.setAttribute("aria-sort", "none");
    const sort = () => {
      const column = Number(head.dataset.column);
      const now = head.getAttribute("aria-sort");
      const order = now === "none" ? head.dataset.first : now === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.v;
      const compare = (a, b) => {
        const x = value(a), y = value(b);
        return sign * (head.dataset.kind === "text" ? x.localeCompare(y) : x - y);
      };
      body.append(...[...body.rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  }
}
let pinned = null;
const show = (method) => {
  document.body.classList.toggle("focus", method !== null);
  for (const one of document.querySelectorAll(".series")) one.classList.toggle("on", one.dataset.m === method);
};
for (const item of document.querySelectorAll(".legend li[data-m]")) {
  item.tabIndex = 0;
  item.setAttribute("role", "button");
  item.setAttribute("aria-pressed", "false");
  const pin = () => {
    pinned = pinned === item.dataset.m ? null : item.dataset.m;
    for (const other of document.querySelectorAll(".legend li[data-m]")) other.setAttribute("aria-pressed", String(other.dataset.m === pinned));
    show(pinned);
  };
  item.addEventListener("click", pin);
  item.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(); }
  });
}
for (const one of document.querySelectorAll(".legend li[data-m], .series")) {
  one.addEventListener("pointerenter", () => show(one.dataset.m));
  one.addEventListener("pointerleave", () => show(pinned));
}
`;

/** SHA-256 of {@linkcode SCRIPT} in base64: the page's policy allows no other script. */
export const SCRIPT_HASH: string = "Vnn9+VVDArjGdNOTD8sie/dnMsAkxhsa1dw0srqRNnQ=";
