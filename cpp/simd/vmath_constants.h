// The numbers behind vmath-inl.h. Polynomials were fitted by tools/minimax.py, lowest order first; "X" and "XRest" are the
// two parts of a constant that needs more digits than the type has.
#pragma once

#include <limits>

namespace nonlin {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int kExponentBias = 127;
  static constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  static constexpr float kMax = 3.4028234663852886e38f;
  static constexpr float kMinNormal = 1.1754943508222875e-38f;
  static constexpr float kSplitter = 4097.0f;   // 2^12 + 1, cuts a float into halves of 12 bits
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  static constexpr int kScaleExponent = 64;
  static constexpr float kScale = 18446744073709551616.0f;
  static constexpr float kUnscale = 5.421010862427522e-20f;

  static constexpr float kLog2E = 1.442695f;
  static constexpr float kLn2High = 0.693115234375f;  // 14 bits: exact times 10 more
  static constexpr float kLn2Low = 3.1946183e-05f;
  static constexpr float kLn2 = 0.6931471824645996f, kLn2Rest = -1.9046542e-09f;
  static constexpr float kSqrtHalf = 0.70710677f, kSqrt2Minus1 = 0.41421357f;
  static constexpr float kSixth = 0.1666666716337204f, kSixthRest = -4.967054e-09f;
  static constexpr float kSeluScaleMinus1 = 0.0507009873554805f;
  static constexpr float kSeluScaleAlpha = 1.7580993175506592f, kSeluScaleAlphaRest = 2.3296717e-08f;
  static constexpr float kGeluTanhLinear = 1.5957691669464111f, kGeluTanhLinearRest = -4.534068e-08f;
  static constexpr float kGeluTanhCubic = 0.07135481387376785f, kGeluTanhCubicRest = 2.3988325e-09f;
  static constexpr float kInvSqrt2Pi = 0.3989422917366028f, kInvSqrt2PiRest = -1.133517e-08f;

  // Beyond these arguments a function has reached its limit, to half an ULP.
  static constexpr float kLogZero = -110.0f;        // x e^x rounds to 0
  static constexpr float kRowZero = -125.0f;        // so does the sum of a million e^x
  static constexpr float kExactReduction = 256.0f;  // twice -kRowZero or more; |x| up to it and -kRowZero reduce exactly
  static constexpr float kLog1pTiny = 1.0e-2f;      // e^-49, scaled: beyond, log1p(e) is e, and its low part too
  static constexpr float kFar = 300.0f;             // e^kFar times or by any two floats is infinite or 0
  static constexpr float kExpm1Saturated = -30.0f;
  static constexpr float kSigmoidSaturated = 30.0f;
  static constexpr float kSigmoidZero = -157.4f;  // e^x is 2^kSigmoidExponent times 2^-127, which comes out as 0
  static constexpr int kSigmoidExponent = -100;
  static constexpr float kTanhSaturated = 15.0f;
  static constexpr float kSoftsignSaturated = 1073741824.0f;
  static constexpr float kGeluZero = -14.9f;
  static constexpr int kGeluExponent = -33;  // 2^-127 times it is e^(-kGeluZero^2 / 2)
  static constexpr float kGeluTanhZero = -10.9f, kGeluTanhSaturated = 7.0f;

  // e^r = 1 + r + r^2 p(r) for |r| <= ln(2) / 2: 2^-28.3
  static constexpr float kExp[] = {0.4999999403953552f, 0.1666652113199234f, 0.04166825860738754f, 0.008368670009076595f,
                                   0.001382132526487112f};
  // e^r for rows of 16 bits, whose sums have more digits: 2^-23.2
  static constexpr float kShortExp[] = {
      1.0f, 1.0f, 0.499992311000824f, 0.16667112708091736f, 0.041890181601047516f, 0.008312688209116459f};
  // For results of 16 bits: e^r, 2^-18.1; expm1(r) / r, 2^-21.1; log1p(e) / e for e in [0, 1], 2^-19.6
  static constexpr float kExp16[] = {1.0f, 0.9999515414237976f, 0.4999595582485199f, 0.16808655858039856f,
                                     0.04238136485219002f};
  static constexpr float kExpm1_16[] = {0.9999999403953552f, 0.49999377131462097f, 0.1666695475578308f, 0.04187509045004845f,
                                        0.00833201501518488f};
  static constexpr float kLog1p16[] = {0.9999987483024597f,   -0.49987009167671204f, 0.3310977816581726f,
                                       -0.23504942655563354f, 0.14924131333827972f,  -0.06641536206007004f,
                                       0.014145097695291042f};
  // e^(a^2 / 2) Phi(-a) = m p(m) for m = 1 / (a + shift): 2^-20.3
  static constexpr float kTail16Shift = 3.75f;
  static constexpr float kTail16[] = {0.39862772822380066f, 1.518367052078247f, 4.565624237060547f, 26.37571907043457f,
                                      -38.0384635925293f,   507.4988098144531f, -682.307373046875f};
  // log(1 + f) = 2 s + s z p(z), s = f / (2 + f), z = s^2: 2^-30.2
  static constexpr float kLog[] = {0.6666677594184875f, 0.399775892496109f, 0.29870572686195374f};
  // e^(a^2 / 2) Phi(-a) = m (constant + slope m + m p(1 - m)) for m = numerator / (a + shift), see NormalTailRatio
  static constexpr float kTailShift = 3.0f, kTailNumerator = 6.0595703125f, kTailConstant = 0.06583672761917114f,
                         kTailSlope = 0.0625f;
  static constexpr float kTailRound = 192.0f;
  static constexpr float kTail[] = {-0.008840013295412064f,  -0.028831083327531815f,  0.008159155026078224f,
                                    0.0005225073546171188f,  -0.0010826510842889547f, 2.0627547201002017e-05f,
                                    0.00016876748122740537f, 8.421131497016177e-06f,  -2.6397283363621682e-05f,
                                    -7.189451480371645e-06f};  // 2^-27.8
  // The same in 16 intervals, each with a polynomial in the distance from its centre: the constant term and its low part,
  // then the other coefficients. The first interval is at index 12. 2^-27.6
  alignas(64) static constexpr float kTailTable[8][16] = {
      {0.23076032102108002f, 0.18523167073726654f, 0.15365193784236908f, 0.1307247281074524f, 0.10634515434503555f,
       0.08480339497327805f, 0.07034269720315933f, 0.06001567468047142f, 0.04912254586815834f, 0.0395066924393177f,
       0.03301897272467613f, 0.028352661058306694f, 0.4537932276725769f, 0.37960442900657654f, 0.32335618138313293f,
       0.2797705829143524f},
      {2.9304639270755217e-10f, -6.056836809875676e-09f, -4.1790063076696526e-10f, 5.993491480893454e-09f,
       -7.012127545280578e-10f, -2.863936643393572e-09f, -3.1777420694822922e-09f, 6.627657866964398e-10f,
       3.467101050702581e-10f, 1.662338156016574e-09f, -1.6474195341231734e-09f, -5.309552797427841e-10f,
       -5.630631516595486e-09f, -1.1372532915387978e-09f, -1.2667260129717306e-08f, -1.2641856450557043e-08f},
      {-0.11049188673496246f, -0.07478687167167664f, -0.05322542041540146f, -0.039449263364076614f, -0.02673424780368805f,
       -0.017327016219496727f, -0.012057463638484478f, -0.008840390481054783f, -0.005961912218481302f,
       -0.003875339636579156f, -0.002714627655223012f, -0.0020050329621881247f, -0.3422181308269501f, -0.2565906345844269f,
       -0.196844682097435f, -0.15414303541183472f},
      {0.04632273688912392f, 0.027177324518561363f, 0.016947368159890175f, 0.011119632981717587f, 0.006387652363628149f,
       0.0034159100614488125f, 0.0020133231300860643f, 0.0012765679275617003f, 0.0007136304047890007f,
       0.0003766501322388649f, 0.00022172070748638362f, 0.00014109912444837391f, 0.20550797879695892f, 0.14169149100780487f,
       0.10016413033008575f, 0.07244770973920822f},
      {-0.01752871833741665f, -0.0090751638635993f, -0.00503127183765173f, -0.0029566497541964054f, -0.0014589965576305985f,
       -0.0006517810397781432f, -0.00032805121736600995f, -0.00018089995137415826f, -8.427683496847749e-05f,
       -3.627709884312935e-05f, -1.79921025846852e-05f, -9.881777259579394e-06f, -0.10550887882709503f,
       -0.06781560927629471f, -0.04474581405520439f, -0.03024956025183201f},
      {0.006102573126554489f, 0.0028237029910087585f, 0.0014068157179281116f, 0.0007470999262295663f, 0.0003201314539182931f,
       0.00012069351214449853f, 5.224321284913458e-05f, 2.51806850428693e-05f, 9.82746496447362e-06f, 3.463774646661477e-06f,
       1.4508835874949e-06f, 6.887894414830953e-07f, 0.04807949438691139f, 0.029061224311590195f, 0.018047872930765152f,
       0.011494430713355541f},
      {-0.002001335611566901f, -0.000835093145724386f, -0.00037493385025300086f, -0.00018231179274152964f,
       -6.89511580276303e-05f, -2.1993924747221172e-05f, -8.22665333544137e-06f, -3.462031372691854e-06f,
       -1.1574890095289447e-06f, -3.328380273615039e-07f, -1.1780121411675282e-07f, -4.799863262405779e-08f,
       -0.019993184134364128f, -0.011552500538527966f, -0.006777096074074507f, -0.004085282329469919f},
      {0.0006097282166592777f, 0.00023160486307460815f, 9.415861131856218e-05f, 4.2379859223729e-05f,
       1.4069468306843191e-05f, 3.850151642836863e-06f, 1.2569375940074679e-06f, 4.64875256511732e-07f,
       1.315413413749411e-07f, 3.1232822550464334e-08f, 9.389189870034897e-09f, 3.3055767012513115e-09f,
       0.007629466243088245f, 0.0042990706861019135f, 0.002375190146267414f, 0.0013386609498411417f}};
};

template <>
struct MathConstants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int kExponentBias = 1023;
  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  static constexpr double kMax = 1.7976931348623157e308;
  static constexpr double kMinNormal = 2.2250738585072014e-308;
  static constexpr double kSplitter = 134217729.0;
  static constexpr double kRound = 6755399441055744.0;
  static constexpr int kScaleExponent = 200;
  static constexpr double kScale = 1.6069380442589903e60;
  static constexpr double kUnscale = 6.223015277861142e-61;

  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2High = 6.93147180369123816490e-01;  // 33 bits: exact times 20 more
  static constexpr double kLn2Low = 1.9082149292705877e-10;
  static constexpr double kLn2 = 0.6931471805599453, kLn2Rest = 2.3190468138462996e-17;
  static constexpr double kSqrtHalf = 0.7071067811865476, kSqrt2Minus1 = 0.41421356237309503;
  static constexpr double kSixth = 0.16666666666666666, kSixthRest = 9.25185853854297e-18;
  static constexpr double kSeluScaleMinus1 = 0.0507009873554805;
  static constexpr double kSeluScaleAlpha = 1.7580993408473768, kSeluScaleAlphaRest = -6.395264655648322e-17;
  static constexpr double kGeluTanhLinear = 1.5957691216057308, kGeluTanhLinearRest = -9.96930880911092e-17;
  static constexpr double kGeluTanhCubic = 0.07135481627260025, kGeluTanhCubicRest = -6.175149918155315e-19;
  static constexpr double kInvSqrt2Pi = 0.3989422804014327, kInvSqrt2PiRest = -2.49232720227773e-17;

  static constexpr double kLogZero = -760.0;
  static constexpr double kRowZero = -800.0;
  static constexpr double kExactReduction = 2048.0;
  static constexpr double kLog1pTiny = 1.0e10;  // e^-115, scaled
  static constexpr double kFar = 2200.0;
  static constexpr double kExpm1Saturated = -60.0;
  static constexpr double kSigmoidSaturated = 45.0;
  static constexpr double kSigmoidZero = -1194.3;
  static constexpr int kSigmoidExponent = -700;
  static constexpr double kTanhSaturated = 25.0;
  static constexpr double kSoftsignSaturated = 1152921504606846976.0;
  static constexpr double kGeluZero = -39.0;
  static constexpr int kGeluExponent = -74;
  static constexpr double kGeluTanhZero = -22.0, kGeluTanhSaturated = 9.0;

  // 2^-63.8
  static constexpr double kExp[] = {0.5,
                                    0.16666666666666682,
                                    0.04166666666666649,
                                    0.008333333333317648,
                                    0.0013888888888989256,
                                    0.00019841269895118997,
                                    2.4801587110763582e-05,
                                    2.755723594969e-06,
                                    2.755745638986318e-07,
                                    2.511170276548219e-08,
                                    2.085908030403993e-09};
  // 2^-59.5
  static constexpr double kLog[] = {0.6666666666666734, 0.39999999999417074, 0.2857142874188651, 0.22222198622157993,
                                    0.1818356188259967, 0.15314110900728176, 0.14795364496839195};
  static constexpr double kTailShift = 4.5, kTailNumerator = 7.46038818359375, kTailConstant = 0.053474734904378374,
                          kTailSlope = 0.09727954864501953;
  static constexpr double kTailRound = 393216.0;
  static constexpr double kTail[] = {
      -0.027863159328129515,  -0.06982701498617788,    0.053989707289575146,   -0.030759272252271753,
      0.011365075890851284,   -0.001339407581619216,   -0.0010739557204666557, 0.0004964039942871429,
      7.216218162271904e-05,  -9.62923980513792e-05,   -4.945307189467517e-06, 1.8774008178536204e-05,
      1.2183181305834187e-06, -3.8856003986442165e-06, -6.320007123600871e-07, 7.968311454385124e-07,
      2.7783900966316725e-07, -1.409828196473985e-07,  -9.747841299161497e-08, 1.682987085288448e-08,
      2.5398046148192535e-08, -7.773303904599952e-10,  -3.6002559750135683e-09};  // 2^-58.5
};

}  // namespace nonlin
