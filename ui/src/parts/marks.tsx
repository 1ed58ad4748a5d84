/** Boxes, outlines of text and points over a picture, which is all that its parent holds. */
import type { Shape } from './items';

/** With more marks than this their labels would hide the photograph. */
const TAGS_MAX = 16;
const percent = (fraction: number) => `${(fraction * 100).toFixed(2)}%`;

function path(shape: Shape): string {
  const at = ([x, y]: [number, number]) => `${(x * 1_000).toFixed(1)} ${(y * 1_000).toFixed(1)}`;
  // A line of no length with round ends is a dot, however the overlay is stretched.
  if (shape.dots) return shape.points.map((point) => `M${at(point)}h.01`).join('');
  return `M${shape.points.map(at).join('L')}Z`;
}

const said = (shape: Shape) => (shape.score === null ? shape.label : `${shape.label} ${shape.score.toFixed(2)}`);

function Tag({ shape }: { shape: Shape }) {
  const xs = shape.points.map((point) => point[0]);
  const ys = shape.points.map((point) => point[1]);
  const [left, right, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys)];
  const side = left > 0.6 ? { right: percent(1 - right) } : { left: percent(left) };
  // Beside the picture, or in the name of its link, the same is said in words.
  return <span aria-hidden="true" class={`tag c${shape.colour}${top < 0.07 ? ' in' : ''}`} style={{ ...side, top: percent(top) }}><bdi>{said(shape)}</bdi></span>;
}

export function Marks({ shapes, tags }: { shapes: Shape[]; tags: boolean }) {
  if (shapes.length === 0) return null;
  const tagged = tags ? shapes.filter((shape) => shape.label && !shape.dots) : [];
  return (
    <>
      <svg class="marks" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">
        {shapes.map((shape, at) => (
          <g key={at} class={`c${shape.colour}${shape.dots ? ' dots' : ''}${shape.dashed ? ' dashed' : ''}`}>
            <path class="under" d={path(shape)} />
            <path class="over" d={path(shape)}><title>{said(shape)}</title></path>
          </g>
        ))}
      </svg>
      {tagged.length <= TAGS_MAX && tagged.map((shape, at) => <Tag key={at} shape={shape} />)}
    </>
  );
}
