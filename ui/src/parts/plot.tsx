/** Curves over time or epochs, drawn by hand: a library would weigh more than the page. */

export type Curve = { name: string; points: [x: number, y: number][]; dashed?: boolean };

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [380, 140, 42, 20];

/** Round steps for an axis. */
function ticks(low: number, high: number, wanted: number, whole: boolean): number[] {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough && (!whole || step >= 1)) ?? (whole ? 1 : power);
  const found: number[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

const short = (n: number) => (Math.abs(n) >= 10_000 ? n.toExponential(0) : String(Number(n.toPrecision(3))));

export function Plot({ title, curves, x = String, zero }: { title: string; curves: Curve[]; x?: (at: number) => string; zero?: boolean }) {
  const points = curves.flatMap((curve) => curve.points).filter(([, y]) => Number.isFinite(y));
  const last = curves.map((curve) => `${curve.name} ${short(curve.points.at(-1)?.[1] ?? 0)}`).join(', ');
  if (points.length === 0) return null;
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const extent = (of: number[]): [number, number] => [of.reduce((a, b) => Math.min(a, b)), of.reduce((a, b) => Math.max(a, b))];
  const [left, right] = extent(xs);
  let [low, high] = extent(zero ? [0, ...ys] : ys);
  if (low === high) [low, high] = [low - (zero ? 0 : 1), high + 1];
  const px = (at: number) => LEFT + ((at - left) / (right - left || 1)) * (WIDTH - LEFT - 8);
  const py = (at: number) => HEIGHT - BOTTOM - ((at - low) / (high - low)) * (HEIGHT - BOTTOM - 10);
  return (
    <figure class="plot">
      <figcaption>{title} {curves.map((curve, at) => <span key={curve.name} class={`key c${at % 8}`}><bdi>{curve.name}</bdi> <b>{short(curve.points.at(-1)?.[1] ?? 0)}</b></span>)}</figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}: now ${last}`}>
        {ticks(low, high, 5, ys.every(Number.isInteger)).map((at) => <g key={at}><path class="line" d={`M${LEFT} ${py(at)}H${WIDTH - 8}`} /><text x={LEFT - 6} y={py(at) + 4} text-anchor="end">{short(at)}</text></g>)}
        <text x={LEFT} y={HEIGHT - 4}>{x(left)}</text>
        {right > left && <text x={WIDTH - 8} y={HEIGHT - 4} text-anchor="end">{x(right)}</text>}
        {curves.map((curve, nth) => {
          const drawn = curve.points.filter(([, y]) => Number.isFinite(y));
          if (drawn.length === 0) return null;
          const path = drawn.map(([at, y]) => `${px(at).toFixed(1)} ${py(y).toFixed(1)}`).join('L');
          return <path key={curve.name} class={`curve c${nth % 8}${curve.dashed ? ' dashed' : ''}`} d={`M${path}${drawn.length === 1 ? 'h.01' : ''}`} />;
        })}
      </svg>
    </figure>
  );
}
