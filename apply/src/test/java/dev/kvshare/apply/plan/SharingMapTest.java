package dev.kvshare.apply.plan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class SharingMapTest {
  @Test
  void identityKeepsEveryLayer() {
    SharingMap map = SharingMap.identity(4);

    assertTrue(map.isIdentity());
    assertFalse(map.hasUpwardSources());
    assertEquals(List.of(0, 1, 2, 3), map.owners());
    assertEquals(0, map.sharedLayers());
    assertEquals("4 layers, 0 shared", map.toString());
  }

  @Test
  void countsOwnersAndReaders() {
    SharingMap map = SharingMap.of(0, 1, 0, 3, 1);

    assertEquals(List.of(0, 1, 3), map.owners());
    assertEquals(3, map.ownedLayers());
    assertEquals(2, map.sharedLayers());
    assertEquals(3, map.highestOwner());
    assertEquals(0, map.source(2));
    assertFalse(map.ownsCache(4));
    assertEquals("5 layers, 2 shared: 2<-0 4<-1", map.toString());
  }

  @Test
  void seesUpwardSources() {
    assertTrue(SharingMap.of(0, 3, 3, 3, 4).hasUpwardSources());
  }

  @Test
  void namesEveryBrokenLayerAndTheRule() {
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> SharingMap.of(0, 7, 1, -1, 2));

    assertEquals(
        "layer 1 reads layer 7, which does not exist: a source must be 0 to 4; "
            + "layer 2 reads layer 1, which itself reads layer 7: a source must keep its own keys and values; "
            + "layer 3 reads layer -1, which does not exist: a source must be 0 to 4; "
            + "layer 4 reads layer 2, which itself reads layer 1: a source must keep its own keys and values",
        error.getMessage());
  }

  @Test
  void refusesNoLayers() {
    assertThrows(IllegalArgumentException.class, () -> SharingMap.identity(0));
  }

  @Test
  void copiesItsArray() {
    int[] source = {0, 0};
    SharingMap map = SharingMap.of(source);
    source[1] = 1;
    map.toArray()[1] = 1;

    assertEquals(0, map.source(1));
  }

  @Test
  void sharingALayerThatIsReadMovesItsReaders() {
    SharingMap map = SharingMap.identity(6).withShared(5, 3).withShared(4, 3).withShared(3, 1);

    assertArrayEquals(new int[] {0, 1, 2, 1, 1, 1}, map.toArray());
  }

  @Test
  void readingFromAReaderTakesItsSource() {
    SharingMap map = SharingMap.identity(6).withShared(3, 1).withShared(5, 3);

    assertArrayEquals(new int[] {0, 1, 2, 1, 4, 1}, map.toArray());
  }

  @Test
  void refusesACircle() {
    SharingMap map = SharingMap.identity(6).withShared(5, 3);

    assertThrows(IllegalArgumentException.class, () -> map.withShared(3, 5));
    assertThrows(IllegalArgumentException.class, () -> map.withShared(6, 0));
  }

  @Test
  void resolvesChainsLikeTheReferenceSearch() {
    Random random = new Random(7);
    for (int round = 0; round < 200; round++) {
      SharingMap map = SharingMap.identity(12);
      int[] reference = map.toArray();
      for (int step = 0; step < 6; step++) {
        int layer = 1 + random.nextInt(11);
        int source = random.nextInt(layer);
        map = map.withShared(layer, source);
        reference[layer] = source;
        for (int k = 0; k < reference.length; k++) {
          reference[k] = reference[reference[k]];
        }
        assertArrayEquals(reference, map.toArray());
      }
    }
  }

  @Test
  void staysFreeOfChainsWithUpwardSources() {
    Random random = new Random(11);
    for (int round = 0; round < 200; round++) {
      SharingMap map = SharingMap.identity(9);
      for (int step = 0; step < 8; step++) {
        int layer = random.nextInt(9);
        int source = random.nextInt(9);
        if (map.source(source) != layer || source == layer) {
          map = map.withShared(layer, source);
          assertEquals(List.of(), SharingMap.problems(map.toArray()));
        }
      }
    }
  }

  @Test
  void equalMapsAreEqual() {
    assertEquals(SharingMap.of(0, 0), SharingMap.identity(2).withShared(1, 0));
    assertEquals(
        SharingMap.of(0, 0).hashCode(), SharingMap.identity(2).withShared(1, 0).hashCode());
    assertNotEquals(SharingMap.of(0, 0), SharingMap.identity(2));
  }
}
