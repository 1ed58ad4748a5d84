/** What is drawn over pictures: whether at all, and how sure a model must be. */
import { scoreMin, showMarks } from '../state/gallery';

export const Sight = () => (
  <>
    <label class="check"><input type="checkbox" checked={showMarks.value} onChange={(event) => (showMarks.value = event.currentTarget.checked)} /> Boxes</label>
    <label class="slider">Score ≥ <span class="number">{scoreMin.value.toFixed(2)}</span>
      <input type="range" min="0" max="1" step="0.05" value={scoreMin.value} onInput={(event) => (scoreMin.value = event.currentTarget.valueAsNumber)} /></label>
  </>
);
