//! The report's style sheet: a contact sheet on a light table, or in the dark.

/// Inline style of the page; colours `c0`–`c7` belong to labels, see `report_marks`.
pub(super) const CSS: &str = r#"
:root{color-scheme:light dark;--page:#f3f4f4;--sheet:#fff;--ink:#191b1c;--soft:#62686b;--line:#dfe2e2;
--film:#111314;--edge:#f0a93b;--safe:#b3202c;--ok:#1f7a4d;--no:#b3202c;--wait:#9a6700;--off:#6b5b95;
--font:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
--mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--page:#0e0f10;--sheet:#18191b;--ink:#e9eaea;--soft:#9aa0a3;
--line:#2b2e30;--film:#000;--safe:#ff5c5c;--ok:#4cc38a;--no:#ff6b6b;--wait:#f0b429;--off:#b3a1e6}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:84rem;padding:clamp(1rem,3vw,2.5rem);background:var(--page);color:var(--ink);
font:16px/1.5 var(--font);overflow-wrap:anywhere}
h1,h2,h3,p,dl,dd,ul,blockquote,pre{margin:0;padding:0}
ul{list-style:none}
.mono,.edge,time{font-variant-numeric:tabular-nums}
.mono,.edge,pre{font-family:var(--mono);font-size:.8125em}
.meta{color:var(--soft);font-size:.875rem}
.kicker{color:var(--safe);font-weight:700;letter-spacing:.02em}
h1{font-size:clamp(1.75rem,4.5vw,2.75rem);line-height:1.1;letter-spacing:-.025em;margin:.1em 0 .35em;text-wrap:balance}
.counts{display:flex;flex-wrap:wrap;gap:1rem 2.25rem;margin:1.5rem 0}
.counts dt{font-size:.8125rem;color:var(--soft)}
.counts dd{font-size:1.75rem;line-height:1.15;font-weight:600;font-variant-numeric:tabular-nums;letter-spacing:-.02em}
.counts .ok dd{color:var(--ok)}.counts .no dd{color:var(--no)}.counts .wait dd{color:var(--wait)}.counts .off dd{color:var(--off)}
.models{border-top:1px solid var(--line)}
.row{display:grid;grid-template-columns:minmax(8rem,14rem) minmax(5rem,9rem) minmax(6rem,1fr) 17rem;
gap:.15rem 1.25rem;align-items:center;padding:.7rem 0;border-bottom:1px solid var(--line)}
.row h2{font-size:1rem;font-weight:600}
.row .words{font-size:.875rem;font-variant-numeric:tabular-nums}
.row .seen{grid-column:1/-1;font-size:.875rem;color:var(--soft)}
.row .seen:empty{display:none}
.bar{display:flex;gap:2px;height:.5rem;border-radius:.25rem;overflow:hidden;background:var(--line)}
.bar i{display:block;min-width:3px}
.bar .ok{background:var(--ok)}.bar .no{background:var(--no)}.bar .wait{background:var(--wait)}.bar .off{background:var(--off)}
.note,.rejected{margin:1.25rem 0 0;padding:.75rem 1rem;border-radius:.375rem;background:var(--sheet);border:1px solid var(--line)}
.rejected summary{font-weight:600;color:var(--no)}
.rejected li{padding:.3rem 0;font-size:.9375rem}
.switches{display:flex;gap:1.5rem;margin:1.5rem 0 .75rem;font-size:.9375rem}
.switches label{display:inline-flex;gap:.5rem;align-items:center;min-height:2.25rem;cursor:pointer}
.switches input{width:1.1rem;height:1.1rem;accent-color:var(--safe)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1.5rem;align-items:start;grid-auto-flow:row dense}
.card{background:var(--sheet);border-radius:.375rem;overflow:hidden;border:1px solid var(--line)}
.card.bad{border-color:var(--no)}
.edge{display:flex;gap:.75rem;align-items:baseline;padding:.5rem .9rem;background:var(--film);color:var(--edge)}
.edge h2{font:inherit;min-width:0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.edge .no{opacity:.75}
.stage{display:grid;place-items:center;position:relative;aspect-ratio:4/3;background:var(--film);container-type:size;cursor:zoom-in;overflow:hidden}
.stage.none{color:#a9aeb0;font-size:.9375rem;padding:1rem;text-align:center;cursor:default;aspect-ratio:auto;container-type:normal;min-height:7rem}
.stage:has(:focus-visible){outline:3px solid var(--edge);outline-offset:-3px}
.zoom{position:absolute;opacity:0;pointer-events:none}
.frame{position:relative;display:block;line-height:0}
.frame img{display:block;max-width:100cqw;max-height:100cqh;width:auto;height:auto}
.card:has(.zoom:checked){grid-column:1/-1}
.card:has(.zoom:checked) .stage{aspect-ratio:auto;container-type:inline-size;cursor:zoom-out}
.card:has(.zoom:checked) img{max-height:min(90vh,64rem)}
.marks{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
.marks path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.marks .under{stroke:#000;stroke-opacity:.55;stroke-width:4.5;pointer-events:all}
.marks .over{stroke:var(--c);stroke-width:2.25;pointer-events:none}
.marks g:hover .over{fill:var(--c);fill-opacity:.22}
.marks .dots path{stroke-linecap:round}
.marks .dots .under{stroke-width:9}.marks .dots .over{stroke-width:6}
.tag{position:absolute;transform:translateY(-100%);max-width:70%;padding:.1rem .3rem;background:var(--c);color:#0b0c0c;
font:600 .6875rem/1.25 var(--font);white-space:nowrap;overflow:hidden;text-overflow:ellipsis;pointer-events:none;font-variant-numeric:tabular-nums}
.tag.in{transform:none}
body:has(#marks:not(:checked)) :is(.marks,.tag){display:none}
body:has(#only-bad:checked) .card:not(.bad){display:none}
.c0{--c:#ffc233}.c1{--c:#38d6e8}.c2{--c:#8ce04f}.c3{--c:#ff7ab8}.c4{--c:#ff8a4c}.c5{--c:#8fb4ff}.c6{--c:#e3f06a}.c7{--c:#c79bff}
.body{padding:.25rem 1rem 1rem}
.model{padding:.85rem 0;border-bottom:1px solid var(--line)}
.model>*+*{margin-top:.4rem}
.model h3{font-size:1rem;font-weight:650;display:flex;flex-wrap:wrap;gap:.25rem .6rem;align-items:baseline}
.model .meta{margin-top:0;font-size:.8125rem;font-weight:400}
.pill{font-size:.8125rem;font-weight:600}
.pill.ok{color:var(--ok)}.pill.no{color:var(--no)}.pill.wait{color:var(--wait)}.pill.off{color:var(--off)}
.summary{font-weight:500}
.labels{display:flex;flex-wrap:wrap;gap:.35rem .9rem;font-size:.9375rem}
.labels li{display:inline-flex;flex-wrap:wrap;gap:0 .4rem;align-items:baseline}
.labels li::before{content:"";width:.65rem;height:.65rem;border-radius:2px;background:var(--c);box-shadow:0 0 0 1px #0003;align-self:center}
.labels b{font-weight:600}.labels span{color:var(--soft);font-variant-numeric:tabular-nums}
blockquote{padding:.5rem .75rem;background:var(--page);border-radius:.25rem;font-size:.9375rem;max-height:16rem;overflow:auto}
blockquote p,.error pre{white-space:pre-wrap}
details summary{cursor:pointer;font-size:.875rem;color:var(--soft)}
.fields{border-collapse:collapse;width:100%;font-size:.875rem;margin-top:.25rem}
.fields th{text-align:left;font-weight:400;color:var(--soft);padding:.2rem .75rem .2rem 0;vertical-align:top;width:40%}
.fields td{padding:.2rem 0;vertical-align:top;font-variant-numeric:tabular-nums}
.fields tr+tr{border-top:1px solid var(--line)}
.error{padding:.6rem .75rem;border-radius:.25rem;background:color-mix(in srgb,var(--no) 10%,var(--sheet));font-size:.9375rem}
.error pre{margin-top:.25rem;max-height:14rem;overflow:auto}
.warning{padding:.5rem 0;font-size:.875rem;color:var(--wait)}
.body>footer{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;margin-top:.75rem;color:var(--soft)}
.fields .mono{font-size:.9em}
@media (max-width:44rem){.row{grid-template-columns:1fr auto}.row .bar{grid-column:1/-1;order:3}.row .words{order:4}.row .seen{order:5}
.counts{display:grid;grid-template-columns:repeat(3,1fr);gap:1rem}.counts dd{font-size:1.5rem}}
@media print{.switches{display:none}.card{break-inside:avoid}body{background:#fff}}
"#;
