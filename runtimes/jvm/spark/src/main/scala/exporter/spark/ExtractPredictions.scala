package exporter.spark

import scala.collection.mutable

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.optimizer.{CollapseProject, ColumnPruning, RemoveNoopOperators}
import org.apache.spark.sql.catalyst.plans.{Inner, InnerLike, LeftOuter, RightOuter}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule

/**
 * Moves every call of a model out of the expression that it is in, into a [[ScoreRows]] below: from there a whole batch
 * of rows goes through the model at once. A call that a part of the plan below has computed already is taken from there.
 *
 * It runs on optimized plans: predicates and projections have moved to where they are best, and calls with them. What is
 * left afterwards is of no kind that can be moved and becomes a [[TfPredictRow]].
 */
private[spark] object ExtractPredictions extends Rule[LogicalPlan] with PredicateHelper {

  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!plan.exists(node => !node.isInstanceOf[ScoreRows] && node.expressions.exists(calls))) {
      plan
    } else {
      val moved = plan.transformUp {
        case done: ScoreRows => done
        case node if node.expressions.exists(calls) => keepOutput(node, extract(subqueries(node)))
      }
      // the columns that only a call needed end below of it, so that a scan of files does not read others
      RemoveNoopOperators(CollapseProject(ColumnPruning(byRows(moved))))
    }

  private def calls(expression: Expression): Boolean = expression.exists(_.isInstanceOf[TfPredict])

  private def keepOutput(before: LogicalPlan, after: LogicalPlan): LogicalPlan =
    if (after.output.map(_.exprId) == before.output.map(_.exprId)) after else Project(before.output, after)

  private def extract(node: LogicalPlan): LogicalPlan = node match {
    case unary: UnaryNode if unary.expressions.exists(_.exists(drawn)) => layers(settled(unary))
    case filter: Filter =>
      // what does not need the model decides first which rows it gets
      val (later, first) = splitConjunctivePredicates(filter.condition).partition(c => calls(c) || !c.deterministic)
      if (first.isEmpty || later.isEmpty) layers(filter)
      else layers(Filter(later.reduce(And), Filter(first.reduce(And), filter.child)))
    case aggregate: Aggregate =>
      aboveAggregate(aggregate) match {
        case Project(list, below) => layers(Project(list, layers(below)))
        case below => layers(below)
      }
    case join: Join => aboveJoin(join)
    case other => layers(other)
  }

  /** One layer of calls after the other, the innermost first, each below of this node in the child that it reads. */
  private def layers(node: LogicalPlan): LogicalPlan = {
    val found = innermost(node.expressions)
    var columns = Map.empty[Expression, Attribute]
    val children = node.children.map { child =>
      val own = found.filter(call => !columns.contains(call.canonicalized) && readable(call, child))
      if (own.isEmpty) child
      else {
        val (scored, attributes) = score(child, own)
        columns ++= own.map(_.canonicalized).zip(attributes)
        scored
      }
    }
    if (columns.isEmpty) node
    else layers(node.withNewChildren(children).transformExpressions {
      case call: TfPredict => columns.getOrElse(call.canonicalized, call)
    })
  }

  private def drawn(expression: Expression): Boolean =
    expression.isInstanceOf[TfPredict] && !expression.deterministic

  /** Arguments that are drawn anew every time are drawn once, in a projection of their own. */
  private def settled(node: UnaryNode): LogicalPlan = {
    val arguments = new mutable.ArrayBuffer[NamedExpression]
    val calling = node.transformExpressionsUp {
      case call: TfPredict if drawn(call) =>
        call.withNewChildren(call.children.map {
          case argument if argument.deterministic => argument
          case argument =>
            val named = Alias(argument, "argument")()
            arguments += named
            named.toAttribute
        })
    }
    calling.withNewChildren(Seq(layers(Project(node.child.output ++ arguments, node.child))))
  }

  /** Different calls that have no call in their arguments. */
  private def innermost(expressions: Seq[Expression]): Seq[TfPredict] = {
    val found = new mutable.LinkedHashMap[Expression, TfPredict]
    expressions.foreach(_.foreach {
      case call: TfPredict if !call.children.exists(calls) => found.getOrElseUpdate(call.canonicalized, call)
      case _ =>
    })
    // not toSeq, which is lazy in Scala 2.12
    found.values.toVector
  }

  private def readable(call: TfPredict, child: LogicalPlan): Boolean =
    call.references.subsetOf(child.outputSet) && call.deterministic && !bound(call) && !call.exists {
      case _: OuterReference | _: AggregateExpression => true
      case _ => false
    }

  /** Whether an argument has the variable of a lambda function that the call is inside of. */
  private def bound(call: TfPredict): Boolean = {
    val own = call.collect { case function: LambdaFunction => function.arguments }.flatten.map(_.exprId).toSet
    call.exists {
      case variable: NamedLambdaVariable => !own(variable.exprId)
      case _ => false
    }
  }

  /** A plan with the calls' results, and the attributes that these are. */
  private def score(child: LogicalPlan, wanted: Seq[TfPredict]): (LogicalPlan, Seq[Attribute]) = {
    var plan = child
    val known = wanted.map { call =>
      val there = reuse(plan, call)
      there.foreach { case (changed, _) => plan = changed }
      there.map(_._2)
    }
    val missing = wanted.zip(known).collect { case (call, None) => call }
    val added = missing.map(call => AttributeReference(call.prettyName, call.dataType, nullable = true)())
    if (missing.nonEmpty) {
      plan = ScoreRows(missing, added, plan)
    }
    val fresh = added.iterator
    (plan, known.map(_.getOrElse(fresh.next())))
  }

  /** Finds a result that a plan has computed on the way, and passes it up through the plan. */
  private def reuse(plan: LogicalPlan, call: TfPredict): Option[(LogicalPlan, Attribute)] = {
    def below(child: LogicalPlan, same: TfPredict = call): Option[(LogicalPlan, Attribute)] =
      if (same.references.subsetOf(child.outputSet)) reuse(child, same) else None
    def through(child: LogicalPlan): Option[(LogicalPlan, Attribute)] =
      below(child).map { case (changed, column) =>
        (plan.withNewChildren(plan.children.map(old => if (old eq child) changed else old)), column)
      }
    plan match {
      case rows: ScoreRows =>
        rows.calls.indexWhere(_.semanticEquals(call)) match {
          case -1 => through(rows.child)
          case i => Some((rows, rows.results(i)))
        }
      case Project(list, child) =>
        below(child, unaliased(call, list)).map { case (changed, column) =>
          (Project(if (list.exists(_.exprId == column.exprId)) list else list :+ column, changed), column)
        }
      case _: Filter | _: Sort | _: Window | _: GlobalLimit | _: LocalLimit | _: RepartitionOperation => through(plan.children.head)
      // a side whose rows may be made up of nulls has no results for those
      case Join(left, right, kind, _, _) =>
        (kind match {
          case _: InnerLike | LeftOuter => through(left)
          case _ => None
        }).orElse(kind match {
          case _: InnerLike | RightOuter => through(right)
          case _ => None
        })
      case _ => None
    }
  }

  /** A call as it is below of a projection: a condition that was pushed down has expressions in place of their names. */
  private def unaliased(call: TfPredict, list: Seq[NamedExpression]): TfPredict = {
    val named = AttributeMap(list.collect { case alias: Alias => alias.toAttribute -> alias.child })
    call.transform { case column: Attribute => named.getOrElse(column, column) }.asInstanceOf[TfPredict]
  }

  /** Calls on results of an aggregate, or on what it groups by, belong above it. */
  private def aboveAggregate(aggregate: Aggregate): LogicalPlan = {
    def ofAggregate(e: Expression) =
      e.isInstanceOf[AggregateExpression] || aggregate.groupingExpressions.exists(_.semanticEquals(e))
    def outside(e: Expression): Boolean =
      !ofAggregate(e) && (e.isInstanceOf[TfPredict] || e.children.exists(outside))
    if (!aggregate.aggregateExpressions.exists(outside)) {
      aggregate
    } else {
      val below = new mutable.ArrayBuffer[NamedExpression]
      val list = aggregate.aggregateExpressions.map {
        case e if outside(e) =>
          e.transformDown {
            case part if ofAggregate(part) =>
              val named = part match {
                case attribute: Attribute => attribute
                case other => Alias(other, "aggregate")()
              }
              below += named
              named.toAttribute
          }.asInstanceOf[NamedExpression]
        case e =>
          below += e
          e.toAttribute
      }
      Project(list, aggregate.copy(aggregateExpressions = below.toVector))
    }
  }

  /** Calls on columns of both sides: after an inner join they can be asked of its result. */
  private def aboveJoin(join: Join): LogicalPlan = {
    val moved = layers(join).asInstanceOf[Join]
    val (both, rest) = moved.condition.toSeq.flatMap(splitConjunctivePredicates).partition(calls)
    if (moved.joinType == Inner && both.nonEmpty) {
      layers(Filter(both.reduce(And), moved.copy(condition = rest.reduceOption(And))))
    } else {
      moved
    }
  }

  /** Conditions of EXISTS and IN, which become those of a join later on, on columns of the subquery. */
  private def subqueries(node: LogicalPlan): LogicalPlan = node.transformExpressions {
    case subquery: SubqueryExpression =>
      val own = innermost(subquery.children).filter(readable(_, subquery.plan))
      if (own.isEmpty) subquery
      else {
        val (scored, attributes) = score(subquery.plan, own)
        val columns = own.map(_.canonicalized: Expression).zip(attributes).toMap
        subquery.withNewPlan(scored).transform {
          case call: TfPredict => columns.getOrElse(call.canonicalized, call)
        }
      }
  }

  private def byRows(plan: LogicalPlan): LogicalPlan = plan.transformUp {
    case done: ScoreRows => done
    case other if other.expressions.exists(calls) =>
      other.transformExpressions {
        case call: TfPredict => TfPredictRow(call.model.handle, call.plan, call.leaves)
      }
  }
}
